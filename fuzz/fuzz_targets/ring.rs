//! The rings, and the place for large results: a worker writes what it likes. See `src/fuzz.rs` for what an input means.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    polypool::__fuzz::ring(input);
});
