//! What happened, by `docs/EVENTS.md`: pure, one camera at a time.
