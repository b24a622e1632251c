//! NNCLR (arXiv 2104.14548): self-supervised visual learning on libtorch.
//!
//! Layers, lowest first: `image` knows no torch; `loader` makes batches on worker threads; `nn`,
//! `optim`, `step` with `health`, and `eval` are the method; `checkpoint` and `session` hold a run
//! together; `engine` is the one thread that talks to libtorch; `threads` are those that compute for it;
//! `distributed` is what several ranks share; `binding` alone knows Node.

#[cfg(feature = "binding")]
mod binding;
pub mod checkpoint;
pub mod device;
pub mod distributed;
pub mod engine;
pub mod error;
pub mod eval;
pub mod health;
pub mod image;
pub mod loader;
pub mod memory_cache;
pub mod nn;
pub mod optim;
pub mod pixels;
pub mod processor;
pub mod ranks;
pub mod rng;
pub mod session;
pub mod step;
pub mod tensor;
mod threads;

pub use error::{Error, Result};
