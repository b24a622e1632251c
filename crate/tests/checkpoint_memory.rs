//! Saving takes no second copy of the network. Alone in its process, whose memory it measures.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is wrong")]

use std::fs;

use nnclr::checkpoint::{verify, write};
use nnclr::memory_cache;
use tch::{Device, Kind, Tensor};

const MIB: usize = 1 << 20;

/// The most memory this process had resident since the last `forget_peak`, bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

#[test]
fn a_save_and_its_check_hold_one_tensor_more_at_a_time() {
    // As a session does; glibc alone finds no place for an aligned block where the last one was.
    memory_cache::enable();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    // 4 MiB each, half of them in another order than a file has them.
    let tensors: Vec<(String, Tensor)> = (0..32)
        .map(|k| {
            let tensor = Tensor::full([1024, 1024], k as f64, (Kind::Float, Device::Cpu));
            (format!("{k}"), if k % 2 == 0 { tensor } else { tensor.tr() })
        })
        .collect();
    // Whatever the first use of each part brings along.
    write(&path, &tensors[..2], "{}").unwrap();
    forget_peak();
    let before = peak();
    write(&path, &tensors, "{}").unwrap();
    verify(&path).unwrap();
    let more = peak() - before;
    assert!(more < 24 * MIB, "{} MiB of 128 more", more / MIB);
    assert!(fs::metadata(&path).unwrap().len() > 128 * MIB as u64);
}
