//! Tasks that depend on each other. Owns the order in which they become ready; the work itself runs in a pool.
