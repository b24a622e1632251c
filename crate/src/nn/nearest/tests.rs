//! Every path gives the same row, whatever the similarities are like.

use super::*;
use crate::nn::nt_xent::normalize;

fn unit(shape: [i64; 2]) -> Tensor {
    normalize(&Tensor::randn(shape, (Kind::Float, Device::Cpu))).unwrap()
}

/// Rows of which many are nearly or exactly alike.
fn clustered(rows: i64, dim: i64, spread: f64) -> Tensor {
    let centres = unit([7, dim]);
    let of = Tensor::randint(7, [rows], (Kind::Int64, Device::Cpu));
    normalize(&(centres.index_select(0, &of) + unit([rows, dim]) * spread)).unwrap()
}

fn listed(index: &Tensor) -> Vec<i64> {
    Vec::<i64>::try_from(index).unwrap()
}

#[test]
fn all_paths_find_the_same_rows() {
    tch::manual_seed(1);
    for (rows, dim) in [(1, 8), (65, 3), (4096, 128), (9001, 64)] {
        let alike = [clustered(rows, dim, 0.3), clustered(rows, dim, 0.0)];
        for bank in alike.iter().chain(&[unit([rows, dim])]) {
            let queries = clustered(33, dim, 0.5);
            let (similarity, index) = blocked::<f32>(&queries, bank).unwrap();
            let (other, everywhere) = whole(&queries, bank).unwrap();
            assert_eq!(listed(&index), listed(&everywhere), "{rows} {dim}");
            assert!((&similarity - other).abs().max().double_value(&[]) < 1e-6);
            if let Some((coarse, found)) = candidates::ranked(&queries, bank).unwrap() {
                assert_eq!(listed(&index), listed(&found), "{rows} {dim}");
                assert!((&similarity - coarse).abs().max().double_value(&[]) < 1e-6);
            }
        }
    }
}

#[test]
fn bf16_candidates_are_few_where_rows_differ_and_given_up_where_they_do_not() {
    tch::manual_seed(2);
    let queries = unit([16, 128]);
    let found = |rows: &Tensor| candidates::ranked(&queries, rows).unwrap().is_some();
    assert!(found(&unit([8192, 128])));
    assert!(!found(&unit([1, 128]).expand([5000, 128], false).contiguous()));
}

#[test]
fn the_first_within_the_tie_of_the_greatest_wins_across_blocks() {
    let far = BLOCK_ROWS + 5;
    let last = far + BLOCK_ROWS;
    let step = f64::from(f32::EPSILON);
    // Rising by 3 epsilons: the second is within the tie of the greatest, the first is not.
    for (values, expected) in [([0.5, 0.5 + 3.0 * step, 0.5 + 6.0 * step], far), ([0.5; 3], 3)] {
        let rows = Tensor::zeros([last + 1, 1], (Kind::Float, Device::Cpu));
        for (place, value) in [3, far, last].into_iter().zip(values) {
            let _ = rows.get(place).fill_(value);
        }
        let query = Tensor::ones([1, 1], (Kind::Float, Device::Cpu));
        for found in [blocked::<f32>(&query, &rows), whole(&query, &rows)] {
            assert_eq!(listed(&found.unwrap().1), [expected]);
        }
    }
}

#[test]
fn a_query_that_is_no_number_finds_no_similarity() {
    let query = Tensor::full([1, 4], f64::NAN, (Kind::Float, Device::Cpu));
    let (similarity, index) = blocked::<f32>(&query, &unit([10, 4])).unwrap();
    assert!(similarity.double_value(&[0]).is_nan());
    assert_eq!(listed(&index), [0]);
}
