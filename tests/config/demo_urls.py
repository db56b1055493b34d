"""The URLs as `make up` has them, demo pages included."""

from django.urls import include, path

from config.urls import urlpatterns as everyday

urlpatterns = [*everyday, path("demo/", include("config.demo.urls"))]
