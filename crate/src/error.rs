//! The one error type. Each kind has a stable code, the same word in TypeScript's `NnclrError.code`.

/// Anything that can go wrong, with its subject and what was expected.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting outside its range or of the wrong kind.
    #[error("{field}: got {got}, expected {expected}")]
    Config {
        /// The setting's name as the caller wrote it.
        field: String,
        /// The offending value.
        got: String,
        /// The allowed range or kinds.
        expected: String,
    },
    /// The operating system refused a file operation.
    #[error("cannot {action} {path}: {reason}")]
    Io {
        /// The file or folder.
        path: String,
        /// `read`, `write`, `rename` ...
        action: &'static str,
        /// The system's words.
        reason: String,
    },
    /// Bytes that are not a readable picture.
    #[error("cannot decode {path}: {reason}")]
    Decode {
        /// Where the bytes came from, `<bytes>` when from memory.
        path: String,
        /// Why.
        reason: String,
    },
    /// A tensor of the wrong shape or dtype.
    #[error("{subject}: got {got}, expected {expected}")]
    Shape {
        /// The operation or tensor.
        subject: String,
        /// What came.
        got: String,
        /// What fits.
        expected: String,
    },
    /// A device that is not there or cannot be used.
    #[error("device {device}: {reason}")]
    Device {
        /// The device as asked for.
        device: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// A checkpoint or weight file that cannot be used.
    #[error("checkpoint {path}: {reason}")]
    Checkpoint {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Training left the numbers: a loss or a weight that is NaN or infinite.
    #[error("{subject} became {value}{context}")]
    Diverged {
        /// `loss`, or the tensor's name.
        subject: String,
        /// NaN or an infinity.
        value: f64,
        /// What else helps, in brackets, or nothing.
        context: String,
    },
    /// libtorch threw.
    #[error("libtorch failed in {operation}: {reason}")]
    Torch {
        /// The operation that was under way.
        operation: String,
        /// libtorch's words, without its C++ stack.
        reason: String,
    },
    /// Other ranks of a data-parallel run: one that is missing, gone, late or different.
    #[error("{operation}: {reason}")]
    Distributed {
        /// What was under way.
        operation: String,
        /// Which rank, and what is known of it.
        reason: String,
    },
    /// Use after `dispose()`, or the owner went away.
    #[error("{subject} was disposed")]
    Disposed {
        /// The handle.
        subject: String,
    },
    /// A bug of ours: a panic that was caught.
    #[error("internal error in {operation}: {reason}")]
    Panic {
        /// The operation that was under way.
        operation: String,
        /// The panic's message.
        reason: String,
    },
}

/// Result with the crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// Stands for the operation until whoever asked for it says its name.
const UNNAMED: &str = "a tensor operation";

impl Error {
    /// The same error with the operation that was under way, where none is named yet.
    pub fn during(self, operation: &str) -> Self {
        match self {
            Self::Torch { operation: known, reason } if known == UNNAMED => {
                Self::Torch { operation: operation.into(), reason }
            }
            other => other,
        }
    }

    /// The stable code, as in `NnclrError.code`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config { .. } => "CONFIG",
            Self::Io { .. } => "IO",
            Self::Decode { .. } => "DECODE",
            Self::Shape { .. } => "SHAPE",
            Self::Device { .. } => "DEVICE",
            Self::Checkpoint { .. } => "CHECKPOINT",
            Self::Diverged { .. } => "DIVERGED",
            Self::Torch { .. } => "TORCH",
            Self::Distributed { .. } => "DISTRIBUTED",
            Self::Disposed { .. } => "DISPOSED",
            Self::Panic { .. } => "PANIC",
        }
    }

    /// What the error is about: a field, a path, an operation.
    pub fn subject(&self) -> &str {
        match self {
            Self::Config { field, .. } => field,
            Self::Io { path, .. } | Self::Decode { path, .. } | Self::Checkpoint { path, .. } => {
                path
            }
            Self::Shape { subject, .. }
            | Self::Disposed { subject }
            | Self::Diverged { subject, .. } => subject,
            Self::Device { device, .. } => device,
            Self::Torch { operation, .. }
            | Self::Distributed { operation, .. }
            | Self::Panic { operation, .. } => operation,
        }
    }

    /// A setting outside its range.
    pub fn config(field: &str, got: impl ToString, expected: impl ToString) -> Self {
        Self::Config { field: field.into(), got: got.to_string(), expected: expected.to_string() }
    }

    /// A failed file operation.
    pub fn io(action: &'static str, path: &std::path::Path, cause: &std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), action, reason: cause.to_string() }
    }

    /// A tensor that does not fit.
    pub fn shape(subject: &str, got: impl ToString, expected: impl ToString) -> Self {
        Self::Shape {
            subject: subject.into(),
            got: got.to_string(),
            expected: expected.to_string(),
        }
    }

    /// Trouble with other ranks.
    pub fn distributed(operation: &str, reason: impl ToString) -> Self {
        Self::Distributed { operation: operation.into(), reason: reason.to_string() }
    }

    /// A caught panic's payload as an error.
    pub fn from_panic(operation: &str, payload: &(dyn std::any::Any + Send)) -> Self {
        let reason = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "unknown panic".into());
        Self::Panic { operation: operation.into(), reason }
    }
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        let text = error.to_string();
        // The first line says what; the rest is libtorch's own C++ stack.
        let reason = text.lines().next().unwrap_or_default().trim().to_owned();
        Self::Torch { operation: UNNAMED.into(), reason }
    }
}
