"""One file for each published setting and each embedded weight; genviews never imports it."""
