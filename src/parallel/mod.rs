//! The `parallel=` setting of a program: what its user says, and the pool that it means.
