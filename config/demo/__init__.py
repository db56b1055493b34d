"""The demo of `make up`: a mail catcher that can be told to refuse or drop mail, and its inbox as a page."""
