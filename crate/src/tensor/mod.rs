//! Tensors whose values are computed later, in the order of the calls, on the engine's thread: what
//! the hand-written loop passes between modules. Shape and dtype are known at the call.

mod op;

use std::sync::{Arc, Mutex};

use tch::{Device, Kind, Tensor};

pub use op::Op;

use crate::engine::{self, lock};
use crate::error::{Error, Result};

/// What is known of a tensor before its value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Sizes.
    pub shape: Vec<i64>,
    /// Dtype.
    pub kind: Kind,
    /// Where it will be.
    pub device: Device,
}

impl Meta {
    /// Bytes of the value.
    pub fn bytes(&self) -> usize {
        self.shape.iter().product::<i64>() as usize * self.kind.elt_size_in_bytes()
    }
}

#[derive(Debug)]
enum Value {
    Pending,
    Ready(Tensor),
    Failed(Error),
}

/// A tensor to come.
#[derive(Debug, Clone)]
pub struct Handle {
    /// Shape, dtype, device.
    pub meta: Meta,
    value: Arc<Mutex<Value>>,
}

/// A call as its caller sees it: named in errors, with or without gradients.
#[derive(Debug, Clone)]
pub struct Call {
    /// The operation and the place in the caller's code that asked for it.
    pub operation: String,
    /// Whether gradients are recorded.
    pub grad: bool,
}

/// A failure of a call without a result (backward, an optimizer step), kept for the next await.
static FAULT: Mutex<Option<Error>> = Mutex::new(None);

impl Handle {
    /// A tensor that is there already.
    pub fn ready(tensor: Tensor) -> Self {
        let (shape, kind, device) = (tensor.size(), tensor.kind(), tensor.device());
        let value = Arc::new(Mutex::new(Value::Ready(tensor)));
        Self { meta: Meta { shape, kind, device }, value }
    }

    /// Queues `work` on the values of `inputs`; the result must fit `meta`.
    pub fn compute(
        call: Call,
        inputs: Vec<Handle>,
        meta: Meta,
        work: impl FnOnce(&[Tensor]) -> Result<Tensor> + Send + 'static,
    ) -> Self {
        let value = Arc::new(Mutex::new(Value::Pending));
        let output = Self { meta, value };
        let (result, expected) = (output.clone(), output.meta.shape.clone());
        let operation = call.operation.clone();
        let job = move || {
            let inputs = inputs.iter().map(Handle::get).collect::<Result<Vec<_>>>()?;
            let placed = |error| at_place(error, &call.operation);
            let tensor = recording(call.grad, || work(&inputs)).map_err(placed)?;
            if tensor.size() == expected {
                return Ok(tensor);
            }
            let reason = format!("made {:?}, {expected:?} was promised", tensor.size());
            Err(Error::Panic { operation: call.operation, reason })
        };
        engine::submit(operation, job, move |outcome| {
            *lock(&result.value) = match outcome {
                Ok(tensor) => Value::Ready(tensor),
                Err(error) => Value::Failed(error),
            };
        });
        output
    }

    /// The value; for jobs on the engine's thread, which runs after the job that makes it.
    pub fn get(&self) -> Result<Tensor> {
        match &*lock(&self.value) {
            Value::Ready(tensor) => Ok(tensor.shallow_clone()),
            Value::Failed(error) => Err(error.clone()),
            Value::Pending => Err(Error::Disposed { subject: "engine".into() }),
        }
    }

    /// The value for a caller that waits; a failure of an earlier call without a result comes first.
    pub fn read(&self) -> Result<Tensor> {
        settle()?;
        self.get()
    }

    /// Drops the value where tensors are freed, after the calls queued so far.
    pub fn release(self) {
        engine::submit(
            "dispose",
            move || {
                drop(self);
                Ok(())
            },
            |_| {},
        );
    }
}

/// Queues work without a result. After a failed one the following are left out until somebody has
/// awaited and been told: an optimizer must not step on gradients that are not there.
pub fn effect(call: Call, work: impl FnOnce() -> Result<()> + Send + 'static) {
    let operation = call.operation.clone();
    let job = move || {
        if lock(&FAULT).is_some() {
            return Ok(());
        }
        recording(call.grad, work).map_err(|error| at_place(error, &call.operation))
    };
    engine::submit(operation, job, |outcome| {
        if let Err(error) = outcome {
            lock(&FAULT).get_or_insert(error);
        }
    });
}

/// The failure that an earlier `effect` left, once.
pub fn settle() -> Result<()> {
    lock(&FAULT).take().map_or(Ok(()), Err)
}

/// A failure that comes late names the call that asked for it; inputs that failed keep their own.
fn at_place(error: Error, operation: &str) -> Error {
    match error.during(operation) {
        Error::Shape { subject, got, expected } => {
            Error::Shape { subject: format!("{subject} ({operation})"), got, expected }
        }
        other => other,
    }
}

fn recording<T>(grad: bool, work: impl FnOnce() -> Result<T>) -> Result<T> {
    if grad { work() } else { tch::no_grad(work) }
}
