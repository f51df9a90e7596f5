//! What is inside a reply: chunks, values, errors. See `src/fuzz.rs` for what an input means.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    polypool::__fuzz::reply(input);
});
