#![no_main]
#![allow(
    missing_docs,
    unsafe_code,
    reason = "the macro makes the entry point of libFuzzer"
)]

libfuzzer_sys::fuzz_target!(|input: &[u8]| warmstart_fuzz::run("shard", input));
