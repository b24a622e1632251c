//! Tests of substitution within a part of the set.

use super::tests::{encoded, load, set_of};
use super::*;
use crate::image::options::tests::simclr;

fn loader_of(set: &Arc<PictureSet>, members: &[u32]) -> Result<Loader> {
    let (views, members) = (Views::Random(simclr(8)), Some(members.to_vec()));
    Loader::new(Arc::clone(set), views, 7, 2, OnBadImage::Substitute, members)
}

#[test]
fn a_substitute_is_the_next_readable_member() {
    let set = set_of(encoded(8, &[1, 4, 7]), 0);
    let loader = loader_of(&set, &[1, 4, 6, 7]).unwrap();
    // Without members it would be 2, 5 and 0, which are held back here.
    let batch = load(&loader, &[1, 4, 6, 7]).unwrap();
    assert_eq!(batch.indices, [6, 6, 6, 6]);
    assert_eq!(batch.labels, Some(vec![60; 4]));
    assert_eq!(batch.bad.iter().map(|bad| bad.index).collect::<Vec<_>>(), [1, 4, 7]);
}

#[test]
fn no_picture_outside_the_members_ever_trains() {
    let broken: Vec<usize> = (0..30).filter(|i| i % 3 != 1).collect();
    let set = set_of(encoded(30, &broken), 0);
    let members: Vec<u32> = (0..30).filter(|i| i % 5 < 3).collect();
    let batch = load(&loader_of(&set, &members).unwrap(), &members).unwrap();
    assert_eq!(batch.indices.len(), members.len());
    assert!(batch.indices.iter().all(|index| members.contains(index)), "{:?}", batch.indices);
}

#[test]
fn members_that_are_all_unreadable_fail_instead_of_reaching_outside() {
    let set = set_of(encoded(5, &[1, 3]), 0);
    assert_eq!(load(&loader_of(&set, &[1, 3]).unwrap(), &[3]).unwrap_err().code(), "DECODE");
    assert_eq!(load(&loader_of(&set, &[3]).unwrap(), &[3]).unwrap_err().code(), "DECODE");
    assert_eq!(load(&loader_of(&set, &[]).unwrap(), &[3]).unwrap_err().code(), "DECODE");
}

#[test]
fn every_picture_as_member_is_the_same_as_no_members() {
    let set = set_of(encoded(9, &[0, 3, 4, 8]), 0);
    let all: Vec<u32> = (0..9).collect();
    let plain =
        Loader::new(Arc::clone(&set), Views::Random(simclr(8)), 7, 1, OnBadImage::Substitute, None);
    let expected = load(&plain.unwrap(), &all).unwrap();
    assert_eq!(load(&loader_of(&set, &all).unwrap(), &all).unwrap(), expected);
}

#[test]
fn members_out_of_order_or_out_of_range_are_config_errors() {
    let set = set_of(encoded(3, &[]), 0);
    for members in [&[1, 0][..], &[1, 1], &[0, 3]] {
        let error = loader_of(&set, members).err().unwrap();
        assert_eq!((error.code(), error.subject()), ("CONFIG", "members"));
    }
}
