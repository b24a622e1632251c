//! The functions of `csrc/distributed`. Each gives null or false and a message when it fails.

use std::ffi::{CStr, c_char, c_void};

use torch_sys::C_tensor;

/// Room for a message, with its end.
const MESSAGE: usize = 1024;

/// Mirrors `nnclr_group_config`.
#[repr(C)]
pub struct Config {
    pub address: *const c_char,
    pub prefix: *const c_char,
    pub network_interface: *const c_char,
    pub own_address: *const c_char,
    pub port: i32,
    pub rank: i32,
    pub size: i32,
    pub hosts_store: i32,
    pub cuda: i32,
    pub join_timeout_ms: i64,
    pub timeout_ms: i64,
}

/// Mirrors `nnclr_group_counted`.
#[repr(C)]
pub struct Counted {
    pub bytes: i64,
    pub waited_ns: i64,
    pub averaging_ns: i64,
    pub overlap_ns: i64,
}

unsafe extern "C" {
    pub fn nnclr_store_open(config: *const Config, message: *mut c_char) -> *mut c_void;
    pub fn nnclr_store_free(store: *mut c_void);
    pub fn nnclr_store_set(
        store: *mut c_void,
        key: *const c_char,
        value: *const c_char,
        length: i64,
        message: *mut c_char,
    ) -> bool;
    pub fn nnclr_store_check(
        store: *mut c_void,
        key: *const c_char,
        present: *mut bool,
        message: *mut c_char,
    ) -> bool;
    pub fn nnclr_store_get(
        store: *mut c_void,
        key: *const c_char,
        value: *mut *mut u8,
        length: *mut i64,
        message: *mut c_char,
    ) -> bool;
    pub fn nnclr_bytes_free(bytes: *mut u8);
    pub fn nnclr_group_create(
        store: *mut c_void,
        config: *const Config,
        message: *mut c_char,
    ) -> *mut c_void;
    pub fn nnclr_group_free(group: *mut c_void);
    pub fn nnclr_all_reduce(
        group: *mut c_void,
        tensor: *mut C_tensor,
        message: *mut c_char,
    ) -> bool;
    pub fn nnclr_broadcast(
        group: *mut c_void,
        tensors: *mut *mut C_tensor,
        count: i64,
        root: i32,
        message: *mut c_char,
    ) -> bool;
    pub fn nnclr_barrier(group: *mut c_void, timeout_ms: i64, message: *mut c_char) -> bool;
    pub fn nnclr_group_traffic(group: *mut c_void) -> Counted;
    pub fn nnclr_all_gather(
        group: *mut c_void,
        x: *const C_tensor,
        rows: *const i64,
        message: *mut c_char,
    ) -> *mut C_tensor;
    pub fn nnclr_sync_batch_norm(
        group: *mut c_void,
        xs: *mut *mut C_tensor,
        count: i64,
        weight: *const C_tensor,
        bias: *const C_tensor,
        running_mean: *const C_tensor,
        running_var: *const C_tensor,
        momentum: f64,
        epsilon: f64,
        ys: *mut *mut C_tensor,
        message: *mut c_char,
    ) -> bool;
    pub fn nnclr_reducer_new(
        group: *mut c_void,
        parameters: *mut *mut C_tensor,
        count: i64,
        message: *mut c_char,
    ) -> *mut c_void;
    pub fn nnclr_reducer_prepare(
        reducer: *mut c_void,
        loss: *const C_tensor,
        message: *mut c_char,
    ) -> bool;
    pub fn nnclr_reducer_finish(reducer: *mut c_void, message: *mut c_char) -> bool;
    pub fn nnclr_reducer_free(reducer: *mut c_void);
}

/// Calls with room for a message; `Err` holds its first line when `call` gives `None`.
pub fn told<T>(call: impl FnOnce(*mut c_char) -> Option<T>) -> Result<T, String> {
    let mut message = [0 as c_char; MESSAGE];
    match call(message.as_mut_ptr()) {
        Some(value) => Ok(value),
        None => {
            // SAFETY: the other side ends what it writes with a zero; so does the array itself.
            let text = unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy();
            Err(text.lines().next().unwrap_or_default().trim().to_owned())
        }
    }
}

/// A function that gives false when it fails.
pub fn done(call: impl FnOnce(*mut c_char) -> bool) -> Result<(), String> {
    told(|message| call(message).then_some(()))
}

/// A function that gives null when it fails.
pub fn made<T>(call: impl FnOnce(*mut c_char) -> *mut T) -> Result<*mut T, String> {
    told(|message| Some(call(message)).filter(|pointer| !pointer.is_null()))
}
