//! The key-value store through which ranks find each other (c10d's `TCPStore`), and what they leave
//! in it for those who look for the cause of a failure.

use std::ffi::{CString, c_char, c_void};
use std::time::{Duration, Instant};

use super::ffi::{self, Config, done, made};

/// How often a key that is not there yet is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// An open store.
#[derive(Debug)]
pub struct Store(*mut c_void);

// SAFETY: c10d's stores lock themselves.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: made by `nnclr_store_open`, freed once.
        unsafe { ffi::nnclr_store_free(self.0) }
    }
}

impl Store {
    pub fn open(config: &Config) -> Result<Self, String> {
        // SAFETY: the texts behind `config` outlive the call.
        made(|message| unsafe { ffi::nnclr_store_open(config, message) }).map(Self)
    }

    pub fn pointer(&self) -> *mut c_void {
        self.0
    }

    pub fn set(&self, key: &str, value: &str) -> Result<(), String> {
        let key = text(key);
        let (value, length) = (value.as_ptr().cast::<c_char>(), value.len() as i64);
        // SAFETY: `value` holds `length` bytes.
        done(|message| unsafe {
            ffi::nnclr_store_set(self.0, key.as_ptr(), value, length, message)
        })
    }

    /// The value of a key, if it is there by now.
    pub fn get(&self, key: &str) -> Result<Option<String>, String> {
        let key = text(key);
        let mut present = false;
        // SAFETY: plain pointers to locals.
        done(|message| unsafe {
            ffi::nnclr_store_check(self.0, key.as_ptr(), &raw mut present, message)
        })?;
        if !present {
            return Ok(None);
        }
        let (mut value, mut length) = (std::ptr::null_mut(), 0);
        // SAFETY: the key is there, so that it does not wait.
        done(|message| unsafe {
            ffi::nnclr_store_get(self.0, key.as_ptr(), &raw mut value, &raw mut length, message)
        })?;
        // SAFETY: it holds `length` bytes.
        let bytes = unsafe { std::slice::from_raw_parts(value, length as usize) }.to_vec();
        // SAFETY: given by `nnclr_store_get`, freed once.
        unsafe { ffi::nnclr_bytes_free(value) };
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The ranks among `ranks` whose key `name/RANK` did not come in time.
    pub fn missing(
        &self,
        name: &str,
        ranks: impl Iterator<Item = usize>,
        patience: Duration,
    ) -> Result<Vec<usize>, String> {
        let until = Instant::now() + patience;
        let mut missing: Vec<usize> = ranks.collect();
        loop {
            let mut left = Vec::new();
            for rank in missing {
                if self.get(&format!("{name}/{rank}"))?.is_none() {
                    left.push(rank);
                }
            }
            if left.is_empty() || Instant::now() >= until {
                return Ok(left);
            }
            missing = left;
            std::thread::sleep(LOOK);
        }
    }
}

/// A C text; one with a zero in it, which no name has, ends there.
pub fn text(words: &str) -> CString {
    let bytes: Vec<u8> = words.bytes().take_while(|&byte| byte != 0).collect();
    CString::new(bytes).unwrap_or_default()
}
