//! A CPU tensor's numbers as a slice.

use tch::kind::Element;
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};

/// Numbers `[N, H, W, C]` in this order in memory: as they are where x is channels-last.
pub fn rows(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?)
}

/// The numbers of a contiguous CPU tensor. bf16 is read as the i16 that it is in memory.
pub fn slice_of<T: Element>(tensor: &Tensor) -> Result<&[T]> {
    check::<T>(tensor)?;
    if tensor.numel() == 0 {
        return Ok(&[]);
    }
    // SAFETY: contiguous CPU memory of `numel` values of this size, borrowed for the tensor's life.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<T>(), tensor.numel()) })
}

/// The same, to write into a tensor that was just made: no other handle may be in use meanwhile.
pub fn slice_of_mut<T: Element>(tensor: &mut Tensor) -> Result<&mut [T]> {
    check::<T>(tensor)?;
    if tensor.numel() == 0 {
        return Ok(&mut []);
    }
    // SAFETY: as above; the caller has the only handle.
    Ok(unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<T>(), tensor.numel()) })
}

/// The bytes of a contiguous CPU tensor of any kind.
pub fn bytes_of(tensor: &Tensor) -> Result<&[u8]> {
    match checked_bytes(tensor)? {
        0 => Ok(&[]),
        // SAFETY: contiguous CPU memory of so many bytes, borrowed for the tensor's life.
        count => Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), count) }),
    }
}

/// The same, to write into a tensor that was just made: no other handle may be in use meanwhile.
pub fn bytes_of_mut(tensor: &mut Tensor) -> Result<&mut [u8]> {
    match checked_bytes(tensor)? {
        0 => Ok(&mut []),
        // SAFETY: as above; the caller has the only handle.
        count => Ok(unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), count) }),
    }
}

/// How many bytes it has, where they can be read.
fn checked_bytes(tensor: &Tensor) -> Result<usize> {
    if tensor.device() == Device::Cpu && tensor.is_contiguous() {
        return Ok(tensor.numel() * tensor.kind().elt_size_in_bytes());
    }
    let got = format!("{:?} on {:?}", tensor.kind(), tensor.device());
    Err(Error::shape("tensor", got, "contiguous on the CPU"))
}

fn check<T: Element>(tensor: &Tensor) -> Result<()> {
    let as_bits = tensor.kind() == Kind::BFloat16 && T::KIND == Kind::Int16;
    if (as_bits || tensor.kind() == T::KIND)
        && tensor.device() == Device::Cpu
        && tensor.is_contiguous()
    {
        return Ok(());
    }
    let got = format!("{:?} on {:?}", tensor.kind(), tensor.device());
    Err(Error::shape("tensor", got, format!("contiguous {:?} on the CPU", T::KIND)))
}
