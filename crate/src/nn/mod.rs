//! Networks, memory bank and losses. Knows no files and no threads.

pub(crate) mod callback;
mod columns;
mod custom_conv;
mod folded;
mod fused_conv;
pub(crate) mod gradient;
pub mod head;
pub mod layers;
pub(crate) mod memory;
pub mod memory_bank;
mod nearest;
pub mod nnclr;
mod node;
mod norm_gradient;
mod norm_pool;
mod norm_relu;
mod norm_statistics;
pub mod nt_xent;
mod pointwise;
pub mod resnet;
mod small_map;
pub mod store;
mod value;
mod wide;
mod winograd;

pub use folded::Folded;
pub use head::Head;
pub use memory_bank::{MemoryBank, Neighbours};
pub use nnclr::{Nnclr, NnclrOptions};
pub use nt_xent::Loss;
pub use resnet::{Arch, ResNet, Stem};
pub use store::{Init, Scope, Store};
