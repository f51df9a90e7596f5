//! Nothing: `../tests/conformance` is what is run here.
