"""Results for people: words, tables, plots and a page that stands by itself."""
