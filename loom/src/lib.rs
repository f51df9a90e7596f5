//! Nothing: `../models.rs` is what there is here.
