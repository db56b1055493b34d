"""The demo's URLs, mounted at /demo/ by `make up` alone."""

from django.urls import path
from django.views.generic import RedirectView

from config.demo import push, shop, views
from config.demo.stripe import views as stripe

app_name = "demo"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="demo:inbox")),
    path("mail/", views.inbox, name="inbox"),
    path("mail/mode/", views.mode, name="mode"),
    path("mail/empty/", views.empty, name="empty"),
    path("mail/<int:pk>/", views.letter, name="letter"),
    path("mail/<int:pk>/html/", views.html, name="html"),
    path("mail/<int:pk>/source/", views.source, name="source"),
    path("mail/<int:pk>/attachments/<int:number>/", views.attachment, name="attachment"),
    path("shop/", shop.shop, name="shop"),
    path("shop/buy/", shop.buy, name="shop-buy"),
    path("push/", push.push, name="push"),
    path("push/send/", push.send, name="push-send"),
    path("push/pretend/", push.pretend, name="push-pretend"),
    path("stripe/", stripe.board, name="stripe-board"),
    path("stripe/act/", stripe.act, name="stripe-act"),
    path("stripe/again/", stripe.again, name="stripe-again"),
    path("stripe/pay/<str:session_id>/", stripe.pay, name="stripe-pay"),
    path("stripe/<path:path>", stripe.api, name="stripe-api"),
]
