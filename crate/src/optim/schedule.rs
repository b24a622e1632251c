//! The learning rate as a pure function of the step: linear warm-up, then half a cosine
//! (`lightly.utils.scheduler.cosine_warmup_schedule`).

use std::f64::consts::PI;

use crate::error::{Error, Result};

/// Shape of the schedule; rates in the optimizer's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Steps of the whole run.
    pub max_steps: u64,
    /// Steps of the linear part.
    pub warmup_steps: u64,
    /// Rate that the warm-up rises from.
    pub warmup_start: f64,
    /// Rate at the end of the warm-up.
    pub lr: f64,
    /// Rate of the last step.
    pub lr_end: f64,
}

/// The rate of step `step` (0 for the first).
pub fn cosine_warmup(step: u64, schedule: &Schedule) -> Result<f64> {
    let Schedule { max_steps, warmup_steps, warmup_start, lr, lr_end } = *schedule;
    if max_steps == 0 || warmup_steps > max_steps {
        let got = format!("{warmup_steps} of {max_steps} steps");
        return Err(Error::config("warmup", got, "at most the run's steps, of which there is one"));
    }
    if step < warmup_steps {
        return Ok(warmup_start + (lr - warmup_start) * (step + 1) as f64 / warmup_steps as f64);
    }
    let (step, steps) = (step - warmup_steps, max_steps - warmup_steps);
    if steps <= 1 || step >= steps {
        return Ok(lr_end);
    }
    let progress = step as f64 / (steps - 1) as f64;
    Ok(lr_end - (lr_end - lr) * ((PI * progress).cos() + 1.0) / 2.0)
}
