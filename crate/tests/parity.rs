//! Every number against its reference: runs all golden cases of a folder, whichever are there.
//!
//!     NNCLR_GOLDEN=some/folder cargo test --release --test parity -- --nocapture
//!
//! Each case is named with its worst deviation. An unknown kind, an unread field of the case or an
//! unread expectation fails.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first thing that is wrong"
)]

#[path = "parity/case.rs"]
mod case;
#[path = "parity/image.rs"]
mod image;
#[path = "parity/kinds.rs"]
mod kinds;
#[path = "parity/model.rs"]
mod model;

use std::path::PathBuf;

use case::Case;

#[test]
fn golden_cases_agree_with_the_reference() {
    let folder = std::env::var_os("NNCLR_GOLDEN").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden"),
        |folder| {
            let folder = PathBuf::from(folder);
            // cargo runs tests in the crate's folder; the user's path is relative to the workspace.
            let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
            if folder.is_absolute() { folder } else { workspace.join(folder) }
        },
    );
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();

    let (mut run, mut failures) = (0, Vec::new());
    for path in files {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let Some(case) = Case::read(&path) else { continue };
        run += 1;
        let outcome = match case.kind() {
            "image" => case.image(),
            "resnet" => model::resnet(&case),
            "head" => model::head(&case),
            "trace" => model::trace(&case),
            "nt_xent" => kinds::nt_xent(&case),
            "paper_loss" => kinds::paper_loss(&case),
            "bank" => kinds::bank(&case),
            "lars" => kinds::lars(&case),
            "schedule" => kinds::schedule(&case),
            "knn" => kinds::knn(&case),
            kind => Err(format!("unknown kind {kind}")),
        };
        match outcome.and_then(|worst| case.all_read().map(|()| worst)) {
            Ok(worst) => println!("ok    {name}: worst deviation {worst:.3e}"),
            Err(reason) => {
                println!("FAIL  {name}: {reason}");
                failures.push(name);
            }
        }
    }
    assert!(run > 0, "no golden case in {}", folder.display());
    assert!(failures.is_empty(), "{} of {run} cases failed: {failures:?}", failures.len());
}
