//! What Node sees. Holds no mathematics: it checks, queues on the engine or the loader, and hands
//! numbers back.

mod data;
mod feature_index;
mod memory_bank;
mod modules;
mod optimizer;
mod process_group;
mod promise;
mod session;
mod step_numbers;
mod system;
mod tensor;

use std::sync::atomic::{AtomicUsize, Ordering};

use napi::bindgen_prelude::Object;
use napi::{Env, Status};
use napi_derive::napi;

use crate::engine;
use crate::error::Error;

/// Node environments (main thread, workers) that have the addon open.
static ENVIRONMENTS: AtomicUsize = AtomicUsize::new(0);

/// Ends the engine with the last environment. A process that goes on after its workers end needs this;
/// a process that exits calls `shutDown` before, since Node runs these hooks only after C's exit
/// handlers when `process.exit` is called.
#[napi(module_exports)]
pub fn open(_exports: Object<'_>, env: Env) -> napi::Result<()> {
    ENVIRONMENTS.fetch_add(1, Ordering::SeqCst);
    env.add_env_cleanup_hook((), |()| {
        if ENVIRONMENTS.fetch_sub(1, Ordering::SeqCst) == 1 {
            engine::shut_down();
        }
    })?;
    Ok(())
}

/// Ends the engine after the job under way. A process that exits while libtorch computes would pull
/// the library's statics from under it; `ts/native.ts` calls this from `process.on('exit')`.
#[napi]
pub fn shut_down() {
    engine::shut_down();
}

/// `ts/errors.ts` reads the JSON; napi's own status codes could not carry ours.
fn to_napi(error: &Error) -> napi::Error {
    let record = serde_json::json!({
        "code": error.code(),
        "subject": error.subject(),
        "message": error.to_string(),
    });
    napi::Error::new(Status::GenericFailure, record.to_string())
}

fn disposed(subject: &str) -> Error {
    Error::Disposed { subject: subject.into() }
}
