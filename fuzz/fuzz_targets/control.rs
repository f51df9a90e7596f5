//! Messages on the socket and in files, in whatever pieces they arrive. See `src/fuzz.rs` for what an input means.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    polypool::__fuzz::control(input);
});
