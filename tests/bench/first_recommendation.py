"""Row 11's process: import, load, recommend once, end. Nothing is imported before it is needed."""

if __name__ == "__main__":
    from exports.bundle import load_bundle

    done = load_bundle().recommend(["Toy Story (1995)", "Fargo (1996)", "Heat (1995)"])
    assert len(done.items) == 10
