//! The kernels against the formulas, at every SIMD level, with the same bits on any number of
//! threads.

mod arrange;
mod attention;
mod batch_norm;
mod convolution;
mod excitation;
mod finite_differences;
mod layer_norm;
mod optimizer;
mod pool;
mod reference;
mod response_norm;
mod sums;
mod training;

use std::process::Command;

#[test]
fn the_other_simd_levels_pass_the_same_tests() {
    if std::env::var_os("WARMSTART_SIMD").is_some() {
        return;
    }
    let mut levels = vec!["scalar"];
    if cfg!(target_arch = "aarch64") {
        levels.push("neon");
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        levels.push("avx2");
    }
    for level in levels {
        let status = Command::new(std::env::current_exe().unwrap())
            .env("WARMSTART_SIMD", level)
            .status()
            .unwrap();
        assert!(status.success(), "level {level}");
    }
}
