//! Where tensors live. CUDA is a plug-in: the library links against the CPU part of libtorch alone,
//! and opening `libtorch_cuda` of the same version registers the whole CUDA backend.

use std::ffi::c_char;
use std::path::PathBuf;
use std::sync::OnceLock;

use tch::{Cuda, Device, Tensor};

use crate::error::{Error, Result};
use crate::nn::callback::{Raw, borrowed, taken};

unsafe extern "C" {
    fn nnclr_send(tensor: Raw, index: i64, message: *mut c_char) -> Raw;
}

/// The folder with `libtorch_cuda`, when the user names one.
pub const CUDA_FOLDER: &str = "NNCLR_CUDA";

/// `auto` (CUDA where it works, else CPU), `cpu`, `cuda` or `cuda:N`. Call on the engine's thread.
pub fn resolve(name: &str) -> Result<Device> {
    let index = match name {
        "cpu" => return Ok(Device::Cpu),
        "auto" => {
            let usable = cuda_reason().is_none();
            return Ok(if usable { Device::Cuda(0) } else { Device::Cpu });
        }
        "cuda" => 0,
        _ => name
            .strip_prefix("cuda:")
            .and_then(|index| index.parse::<usize>().ok())
            .ok_or_else(|| Error::config("device", name, "auto, cpu, cuda or cuda:N"))?,
    };
    if let Some(reason) = cuda_reason() {
        return Err(Error::Device { device: name.into(), reason });
    }
    let count = Cuda::device_count();
    if index as i64 >= count {
        let reason = format!("there are {count} CUDA devices, counted from 0");
        return Err(Error::Device { device: name.into(), reason });
    }
    Ok(Device::Cuda(index))
}

/// A device as `resolve` reads it.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".into(),
    }
}

/// A CPU tensor on the device. The host does not wait for the copy to a GPU, which reads pinned memory:
/// a tensor that is not pinned itself may change at once.
pub fn send(tensor: &Tensor, device: Device) -> Result<Tensor> {
    match device {
        // SAFETY: a live tensor; C++ writes as `taken` asks.
        Device::Cuda(index) => unsafe {
            taken(|message| nnclr_send(borrowed(tensor), index as i64, message))
        },
        _ => Ok(tensor.f_to_device(device)?),
    }
}

/// Why CUDA cannot be used, or nothing when it can.
pub fn cuda_reason() -> Option<String> {
    if let Err(reason) = plug_in() {
        return Some(reason.clone());
    }
    if Cuda::is_available() {
        return None;
    }
    Some("the CUDA plug-in is loaded, but no driver with a device was found".into())
}

/// Opens the plug-in once per process, before libtorch's first CUDA query caches its absence.
fn plug_in() -> &'static std::result::Result<PathBuf, String> {
    static PLUG_IN: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    PLUG_IN.get_or_init(|| {
        let named = std::env::var_os(CUDA_FOLDER).filter(|folder| !folder.is_empty());
        let Some(folder) = named.map(PathBuf::from) else {
            return Err(format!("no CUDA plug-in: {CUDA_FOLDER} names no folder"));
        };
        let candidates =
            [folder.join("libtorch_cuda.so"), folder.join("torch/lib/libtorch_cuda.so")];
        let Some(library) = candidates.into_iter().find(|path| path.exists()) else {
            return Err(format!("{CUDA_FOLDER}={} holds no libtorch_cuda.so", folder.display()));
        };
        open(&library).map(|()| library)
    })
}

#[cfg(unix)]
fn open(library: &std::path::Path) -> std::result::Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: the library's initialisers register kernels with libtorch and do nothing else; it stays
    // open for the life of the process.
    match unsafe { Library::open(Some(library), RTLD_NOW | RTLD_GLOBAL) } {
        Ok(library) => {
            std::mem::forget(library);
            Ok(())
        }
        Err(error) => Err(format!("cannot open {}: {error}", library.display())),
    }
}

#[cfg(not(unix))]
fn open(library: &std::path::Path) -> std::result::Result<(), String> {
    Err(format!("cannot open {}: not supported on this system yet", library.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_or_is_an_error() {
        // First, because libtorch remembers what its first query for an accelerator found.
        let is_usable = cuda_reason().is_none();
        let tensor = Tensor::from_slice(&[1i64, 2, 3]);
        assert!(send(&tensor, Device::Cpu).unwrap() == tensor);
        // Without a GPU libtorch throws, which must not leave C++ as an exception.
        let sent = send(&tensor, Device::Cuda(0));
        assert_eq!(sent.is_ok(), is_usable);
        match sent {
            Ok(there) => assert!(there.to_device(Device::Cpu) == tensor),
            Err(error) => assert!(error.to_string().len() > 20, "{error}"),
        }
    }
}
