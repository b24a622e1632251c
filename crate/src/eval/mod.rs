//! What the learned features are worth: nearest neighbours among embedded pictures.

mod index;
mod knn;

pub use index::FeatureIndex;
pub use knn::knn_predict;
