//! Tests of the loader.

use super::*;
use crate::image::decode::DecodeOptions;
use crate::image::options::tests::simclr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

/// A GIF-like small picture of one value, as BMP bytes: 12 x 10, 24 bits, no compression.
fn bmp(value: u8) -> Vec<u8> {
    let (width, height) = (12u32, 10u32);
    let size = 54 + width * height * 3;
    let mut bytes = b"BM".to_vec();
    for word in [size, 0, 54, 40, width, height, 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend((0..width * height * 3).map(|i| value.wrapping_add((i * 5) as u8)));
    bytes
}

pub(super) fn encoded(count: usize, broken: &[usize]) -> Vec<Source> {
    (0..count)
        .map(|i| {
            Source::Encoded(if broken.contains(&i) {
                b"broken".to_vec()
            } else {
                bmp(i as u8 * 11)
            })
        })
        .collect()
}

pub(super) fn set_of(sources: Vec<Source>, cache_bytes: u64) -> Arc<PictureSet> {
    let labels = (0..sources.len() as i32).map(|i| i * 10).collect();
    Arc::new(PictureSet::new(sources, Some(labels), DecodeOptions::default(), cache_bytes).unwrap())
}

fn loader(set: &Arc<PictureSet>, workers: usize, on_bad_image: OnBadImage) -> Loader {
    Loader::new(Arc::clone(set), Views::Random(simclr(8)), 7, workers, on_bad_image, None).unwrap()
}

fn ask(loader: &Loader, indices: &[u32], epoch: u64) -> mpsc::Receiver<Result<Batch>> {
    let (send, receive) = mpsc::channel();
    loader.load(indices.to_vec(), epoch, Box::new(move |result| send.send(result).unwrap()));
    receive
}

fn wait(receive: &mpsc::Receiver<Result<Batch>>) -> Result<Batch> {
    receive.recv_timeout(Duration::from_secs(20)).expect("done was not called")
}

pub(super) fn load(loader: &Loader, indices: &[u32]) -> Result<Batch> {
    wait(&ask(loader, indices, 0))
}

#[test]
fn a_batch_has_two_views_with_indices_and_labels_in_the_order_asked_for() {
    let set = set_of(encoded(5, &[]), 0);
    let batch = load(&loader(&set, 2, OnBadImage::Error), &[3, 0, 3]).unwrap();
    assert_eq!(batch.views.len(), 2);
    assert!(batch.views.iter().all(|view| view.len() == 3 * 8 * 8 * 3));
    assert_eq!(
        (batch.size, batch.indices, batch.labels),
        (8, vec![3, 0, 3], Some(vec![30, 0, 30]))
    );
    assert_ne!(batch.views[0], batch.views[1]);
    assert!(batch.bad.is_empty());
    let bytes = 8 * 8 * 3;
    assert_eq!(
        batch.views[0][..bytes],
        batch.views[0][2 * bytes..],
        "equal samples have equal views"
    );
}

#[test]
fn worker_count_and_cache_do_not_change_a_byte() {
    let indices: Vec<u32> = (0..40).map(|i| i * 7 % 10).collect();
    let broken = [2, 3, 9];
    let mut batches = vec![];
    for (workers, cache) in [(1, 0), (4, 0), (7, 1 << 20), (4, 12 * 10 * 3 * 2)] {
        let set = set_of(encoded(10, &broken), cache);
        let loader = loader(&set, workers, OnBadImage::Substitute);
        let waiting: Vec<_> = (0..4).map(|epoch| ask(&loader, &indices, epoch)).collect();
        batches.push(waiting.iter().map(|receive| wait(receive).unwrap()).collect::<Vec<_>>());
    }
    assert!(batches.windows(2).all(|pair| pair[0] == pair[1]));
    assert_ne!(batches[0][0].views, batches[0][1].views, "another epoch, other views");
}

#[test]
fn another_seed_gives_other_views() {
    let set = set_of(encoded(3, &[]), 0);
    let views = |seed| {
        let loader = Loader::new(
            Arc::clone(&set),
            Views::Random(simclr(8)),
            seed,
            1,
            OnBadImage::Error,
            None,
        )
        .unwrap();
        load(&loader, &[0, 1, 2]).unwrap().views
    };
    assert_ne!(views(1), views(2));
}

#[test]
fn a_bad_picture_is_replaced_by_the_next_readable_one_and_reported() {
    let set = set_of(encoded(5, &[3, 4]), 0);
    let batch = load(&loader(&set, 3, OnBadImage::Substitute), &[1, 3, 2, 4]).unwrap();
    assert_eq!(batch.indices, [1, 0, 2, 0]);
    assert_eq!(batch.labels, Some(vec![10, 0, 20, 0]));
    let bad: Vec<_> =
        batch.bad.iter().map(|b| (b.index, b.path.as_str(), b.code.as_str())).collect();
    assert_eq!(bad, [(3, "<bytes>", "DECODE"), (4, "<bytes>", "DECODE")]);
    assert!(batch.bad[0].reason.contains("not a picture"));
}

#[test]
fn a_substitute_does_not_depend_on_the_rest_of_the_batch() {
    let set = set_of(encoded(5, &[3]), 0);
    let loader = loader(&set, 2, OnBadImage::Substitute);
    let (alone, among) = (load(&loader, &[3]).unwrap(), load(&loader, &[0, 3, 4]).unwrap());
    assert_eq!(alone.views[1][..], among.views[1][192..384]);
}

#[test]
fn a_set_without_a_readable_picture_fails_instead_of_searching_for_ever() {
    let set = set_of(encoded(5, &[0, 1, 2, 3, 4]), 0);
    assert_eq!(load(&loader(&set, 2, OnBadImage::Substitute), &[1]).unwrap_err().code(), "DECODE");
}

#[test]
fn omitted_pictures_make_the_batch_shorter() {
    let set = set_of(encoded(5, &[0, 2]), 0);
    let evaluation = |on_bad| {
        Loader::new(Arc::clone(&set), Views::Evaluation { size: 8 }, 0, 2, on_bad, None).unwrap()
    };
    let batch = load(&evaluation(OnBadImage::Omit), &[0, 1, 2, 3]).unwrap();
    assert_eq!((batch.indices, batch.labels), (vec![1, 3], Some(vec![10, 30])));
    assert_eq!(batch.bad.iter().map(|b| b.index).collect::<Vec<_>>(), [0, 2]);
    let expected = load(&evaluation(OnBadImage::Error), &[1, 3]).unwrap();
    assert_eq!(batch.views, expected.views);
    assert_eq!(batch.views.len(), 1);
    let nothing = load(&evaluation(OnBadImage::Omit), &[0, 2]).unwrap();
    assert_eq!((nothing.views, nothing.indices), (vec![vec![].into()], vec![]));
}

#[test]
fn the_error_of_the_first_bad_place_fails_the_batch() {
    let set = set_of(
        vec![Source::Encoded(bmp(0)), Source::File("/no/such/a".into()), Source::Encoded(vec![])],
        0,
    );
    for _ in 0..20 {
        let error = load(&loader(&set, 3, OnBadImage::Error), &[0, 1, 2]).unwrap_err();
        assert_eq!((error.code(), error.subject()), ("IO", "/no/such/a"));
    }
}

#[test]
fn a_file_that_vanishes_while_training_is_a_bad_picture_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..3).map(|i| folder.path().join(format!("{i}.bmp"))).collect();
    paths.iter().for_each(|path| std::fs::write(path, bmp(50)).unwrap());
    let set = set_of(paths.iter().cloned().map(Source::File).collect(), 0);
    let loader = loader(&set, 2, OnBadImage::Substitute);
    assert!(load(&loader, &[0, 1, 2]).unwrap().bad.is_empty());
    std::fs::remove_file(&paths[1]).unwrap();
    let batch = load(&loader, &[0, 1, 2]).unwrap();
    assert_eq!(batch.indices, [0, 2, 2]);
    let bad = &batch.bad[0];
    assert_eq!(
        (bad.index, bad.code.as_str(), bad.path.as_str()),
        (1, "IO", paths[1].to_str().unwrap())
    );
}

#[test]
fn a_folder_and_a_damaged_file_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged.bmp");
    std::fs::write(&damaged, &bmp(1)[..200]).unwrap();
    let set = set_of(vec![Source::File(folder.path().into()), Source::File(damaged.clone())], 0);
    let loader = loader(&set, 1, OnBadImage::Error);
    let (not_a_file, cut) = (load(&loader, &[0]).unwrap_err(), load(&loader, &[1]).unwrap_err());
    assert_eq!(not_a_file.code(), "IO");
    assert!(not_a_file.to_string().contains("not a regular file"));
    assert_eq!((cut.code(), cut.subject()), ("DECODE", damaged.to_str().unwrap()));
}

#[test]
fn a_file_bigger_than_the_limit_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.bmp");
    std::fs::write(&path, bmp(1)).unwrap();
    let options = DecodeOptions { max_bytes: 100, ..DecodeOptions::default() };
    let set = PictureSet::new(vec![Source::File(path)], None, options, 0).unwrap();
    assert!(set.picture(0).unwrap_err().to_string().contains("more than the limit of 100"));
}

#[test]
fn planar_rows_are_interleaved() {
    let pixels = vec![1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16];
    let set = PictureSet::planar(pixels, 2, 1, Some(vec![0, 1])).unwrap();
    assert_eq!((set.len(), set.label(1)), (2, Some(1)));
    assert_eq!(set.picture(1).unwrap().pixels, [11, 13, 15, 12, 14, 16]);
    assert_eq!(PictureSet::planar(vec![0; 7], 2, 1, None).err().unwrap().code(), "SHAPE");
    assert_eq!(PictureSet::planar(vec![], 0, 1, None).err().unwrap().code(), "SHAPE");
}

#[test]
fn the_cache_stays_within_its_budget_and_spares_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..3).map(|i| folder.path().join(format!("{i}.bmp"))).collect();
    paths.iter().for_each(|path| std::fs::write(path, bmp(9)).unwrap());
    let set = set_of(paths.iter().cloned().map(Source::File).collect(), 360 * 2);
    let first: Vec<_> = (0..3).map(|i| set.picture(i).unwrap()).collect();
    paths.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    assert_eq!(
        (set.picture(0).unwrap(), set.picture(1).unwrap()),
        (first[0].clone(), first[1].clone())
    );
    assert_eq!(set.picture(2).unwrap_err().code(), "IO");
}

#[test]
fn labels_must_match_the_pictures() {
    let set = PictureSet::new(encoded(3, &[]), Some(vec![1]), DecodeOptions::default(), 0);
    assert_eq!(set.err().unwrap().code(), "SHAPE");
    let without =
        Arc::new(PictureSet::new(encoded(3, &[]), None, DecodeOptions::default(), 0).unwrap());
    assert_eq!(load(&loader(&without, 1, OnBadImage::Error), &[0]).unwrap().labels, None);
}

#[test]
fn an_index_out_of_range_and_settings_out_of_range_are_config_errors() {
    let set = set_of(encoded(3, &[]), 0);
    let error = load(&loader(&set, 1, OnBadImage::Substitute), &[0, 3]).unwrap_err();
    assert_eq!((error.code(), error.subject()), ("CONFIG", "indices"));
    let make = |views, workers| {
        Loader::new(Arc::clone(&set), views, 0, workers, OnBadImage::Error, None).err().unwrap()
    };
    assert_eq!(make(Views::Evaluation { size: 0 }, 1).subject(), "imageSize");
    assert_eq!(make(Views::Evaluation { size: 8 }, 0).subject(), "workers");
}

#[test]
fn the_memory_of_a_batch_serves_the_next_whatever_it_held() {
    let set = set_of(encoded(9, &[0, 4, 8]), 0);
    let places = |batch: &Batch| {
        let mut places: Vec<_> = batch.views.iter().map(|view| view.as_ptr()).collect();
        places.sort_unstable();
        places
    };
    let again = loader(&set, 1, OnBadImage::Omit);
    let mut before = None;
    // Omitted at either end and in the middle, a shorter batch, and then a whole one.
    for indices in [&[1, 2, 3, 5, 6, 7][..], &[0, 1, 4, 2, 8], &[3], &[7, 6, 5, 3, 2, 1]] {
        let fresh = loader(&set, 1, OnBadImage::Omit);
        let batch = load(&again, indices).unwrap();
        assert_eq!(batch, load(&fresh, indices).unwrap());
        let place = places(&batch);
        assert_eq!(*before.get_or_insert(place.clone()), place);
    }
    let kept = load(&again, &[1]).unwrap();
    drop(again);
    assert_eq!(kept, load(&loader(&set, 1, OnBadImage::Omit), &[1]).unwrap());
}

#[test]
fn an_empty_batch_is_a_batch() {
    let set = set_of(encoded(1, &[]), 0);
    let batch = load(&loader(&set, 1, OnBadImage::Error), &[]).unwrap();
    assert_eq!((batch.views, batch.indices), (vec![vec![].into(), vec![].into()], vec![]));
}

#[test]
fn dropping_the_loader_ends_what_waits_as_disposed_and_joins_the_threads() {
    let set = set_of(encoded(10, &[]), 0);
    let loader = loader(&set, 1, OnBadImage::Error);
    let indices: Vec<u32> = (0..2000).map(|i| i % 10).collect();
    let waiting: Vec<_> = (0..5).map(|epoch| ask(&loader, &indices, epoch)).collect();
    drop(loader);
    let results: Vec<_> = waiting
        .iter()
        .map(|receive| receive.try_recv().expect("done before drop returns"))
        .collect();
    assert_eq!(results[4].as_ref().unwrap_err().code(), "DISPOSED");
    assert_eq!(Arc::strong_count(&set), 1, "a thread still holds the set");
}

#[test]
fn more_batches_than_may_wait_are_refused() {
    let set = set_of(encoded(10, &[]), 0);
    let loader = loader(&set, 1, OnBadImage::Error);
    let indices: Vec<u32> = (0..500).map(|i| i % 10).collect();
    let waiting: Vec<_> = (0..300).map(|epoch| ask(&loader, &indices, epoch)).collect();
    let last = waiting[299].try_recv().expect("refused at once");
    assert_eq!(last.unwrap_err().code(), "CONFIG");
}

#[test]
fn a_panic_fails_its_batch_alone() {
    let set = set_of(vec![Source::Encoded(bmp(1)), Source::Encoded(bmp(2)), Source::Bug], 0);
    let loader = loader(&set, 1, OnBadImage::Error);
    let (send, receive) = mpsc::channel();
    loader.load(
        vec![0],
        0,
        Box::new(move |_| {
            send.send(()).unwrap();
            panic!("the caller's own bug");
        }),
    );
    receive.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(load(&loader, &[1]).is_ok(), "the worker lives on");
    assert_eq!(load(&loader, &[0, 2]).unwrap_err().code(), "PANIC");
    assert!(load(&loader, &[0, 1]).is_ok());
}

#[test]
fn a_loader_dropped_by_its_own_callback_does_not_wait_for_itself() {
    let set = set_of(encoded(3, &[]), 0);
    let loader = Arc::new(loader(&set, 2, OnBadImage::Error));
    let (send, receive) = mpsc::channel();
    let (gate, opened) = mpsc::channel::<()>();
    let own = Arc::clone(&loader);
    loader.load(
        vec![0],
        0,
        Box::new(move |_| {
            opened.recv().unwrap();
            drop(own);
            send.send(()).unwrap();
        }),
    );
    drop(loader);
    gate.send(()).unwrap();
    receive.recv_timeout(Duration::from_secs(20)).expect("the callback hangs");
}
