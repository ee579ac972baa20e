//! `.pth` and `.pt` files: a pickle that is read as data, and the storages that its tensors are views of.

mod classes;
mod container;
mod tree;
mod wrappers;

use std::collections::BTreeMap;
use std::path::Path;

use warmstart_language::{english, message, translated};

use super::pickle::{Elements, PickleError, TensorView};
use super::weight_file::{FileTensor, Format, MOST_BYTES, WeightFile};
use crate::WeightError;
use crate::text::{cut_line, grouped};
use container::Container;
use tree::Tree;

/// Most bytes that tensors may claim, as a multiple of the file's: a tensor may be a view that repeats few
/// stored values endlessly. Tied weights only double what a file holds.
const MAX_EXPANSION: u64 = 4;
const EXPANSION_ALLOWANCE: u64 = 1 << 20;

const SAVE_STATE_DICT: &str =
    english!("load it with PyTorch and save it again with torch.save(model.state_dict(), ...)");

pub(super) fn read(path: &Path, format: Format) -> Result<WeightFile, WeightError> {
    let (mut container, pickle) = match format {
        Format::PthZip => Container::open_zip(path)?,
        Format::PthLegacy | Format::Safetensors | Format::Sharded => Container::open_legacy(path)?,
    };
    let tree = Tree::of(&pickle).map_err(|error| damaged(path, &error.0))?;
    if let Some(name) = &tree.collision {
        return Err(WeightError::Unsupported {
            path: path.into(),
            found: message!(
                "two of its tensors have one name when their paths are joined by dots: {}",
                cut_line(name, 100)
            ),
            fix: translated(SAVE_STATE_DICT).into(),
        });
    }
    let set_aside = tree.set_aside_lines();
    let classes = classes::names(&pickle);
    let tensors = read_tensors(path, &mut container, tree.tensors)?;
    Ok(WeightFile {
        path: path.into(),
        format,
        stripped: tree.stripped,
        set_aside,
        ignored_objects: pickle.mentioned.into_iter().collect(),
        classes,
        unreadable: tree.unreadable,
        not_finite: Vec::new(),
        tensors,
        metadata: None,
    })
}

/// Reads each storage once and gathers the tensors that are views of it.
fn read_tensors(
    path: &Path,
    container: &mut Container,
    views: BTreeMap<String, TensorView>,
) -> Result<BTreeMap<String, FileTensor>, WeightError> {
    let mut by_storage: BTreeMap<String, Vec<(String, TensorView)>> = BTreeMap::new();
    for (name, view) in views {
        let key = view.storage.key.to_string();
        by_storage.entry(key).or_default().push((name, view));
    }
    refuse_expansion(path, container, &by_storage)?;
    let mut tensors = BTreeMap::new();
    for views in by_storage.into_values() {
        let Some((_, first)) = views.first() else {
            continue;
        };
        let bytes = container.read(path, &first.storage)?;
        for (name, view) in views {
            let tensor = gather(&view, &bytes, container.is_big_endian()).ok_or_else(|| {
                let name = cut_line(&name, 100);
                damaged(path, &message!("{name} reaches beyond its storage"))
            })?;
            tensors.insert(name, tensor);
        }
    }
    Ok(tensors)
}

fn refuse_expansion(
    path: &Path,
    container: &mut Container,
    by_storage: &BTreeMap<String, Vec<(String, TensorView)>>,
) -> Result<(), WeightError> {
    let file_bytes = std::fs::metadata(path)
        .map_err(|e| io_error(path, e))?
        .len();
    let mut claimed = 0_u64;
    let mut stored = 0_u64;
    for views in by_storage.values() {
        for (_, view) in views {
            claimed = claimed.saturating_add(claimed_bytes(view));
        }
        if let Some((name, view)) = views.first() {
            let size = container.size(&view.storage).ok_or_else(|| {
                let name = cut_line(name, 100);
                damaged(path, &message!("the values of {name} are missing"))
            })?;
            let described = view
                .storage
                .count
                .saturating_mul(view.storage.elements.size() as u64);
            if size < described {
                let name = cut_line(name, 100);
                let detail =
                    message!("{name} has a storage of {size} bytes, described as {described}");
                return Err(damaged(path, &detail));
            }
            stored = stored.saturating_add(size);
        }
    }
    let claimed = claimed.max(stored);
    let limit = file_bytes
        .saturating_mul(MAX_EXPANSION)
        .saturating_add(EXPANSION_ALLOWANCE);
    if claimed > limit.min(MOST_BYTES) {
        return Err(WeightError::Unsupported {
            path: path.into(),
            found: message!(
                "its tensors claim {} bytes, in a file of {} bytes",
                grouped(usize::try_from(claimed).unwrap_or(usize::MAX)),
                grouped(usize::try_from(file_bytes).unwrap_or(usize::MAX)),
            ),
            fix: message!("if that is meant, save them from PyTorch with .contiguous().clone()"),
        });
    }
    Ok(())
}

fn claimed_bytes(view: &TensorView) -> u64 {
    let count = view.shape.iter().fold(1_u64, |product, extent| {
        product.saturating_mul(*extent as u64)
    });
    count.saturating_mul(view.elements.size() as u64)
}

/// A view's values in row-major order; `None` if it reaches beyond the storage's bytes.
fn gather(view: &TensorView, bytes: &[u8], is_big_endian: bool) -> Option<FileTensor> {
    let Elements::Known(kind) = view.elements else {
        return None;
    };
    let size = kind.size();
    let count: usize = view.shape.iter().product();
    let mut values = Vec::with_capacity(count * size);
    if count > 0 {
        let mut last = view.offset;
        for (extent, stride) in view.shape.iter().zip(&view.strides) {
            last = last.checked_add((*extent as u64 - 1).checked_mul(*stride as u64)?)?;
        }
        let end = usize::try_from(last.checked_add(1)?)
            .ok()?
            .checked_mul(size)?;
        if end > bytes.len() {
            return None;
        }
        let mut place = vec![0; view.shape.len()];
        let mut element = view.offset as usize;
        // A run of the last dimensions that lie together is copied at once.
        let run = contiguous_run(view);
        for _ in 0..count / run {
            values.extend_from_slice(&bytes[element * size..(element + run) * size]);
            element = advance(view, &mut place, run);
        }
    }
    if is_big_endian {
        values.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    Some(FileTensor {
        shape: view.shape.clone(),
        dtype: kind.name(),
        data: kind.to_f32(&values),
    })
}

/// Number of elements of the last dimensions that are contiguous.
fn contiguous_run(view: &TensorView) -> usize {
    let mut run = 1;
    for (extent, stride) in view.shape.iter().zip(&view.strides).rev() {
        if *extent != 1 && *stride != run {
            break;
        }
        run *= extent;
    }
    run
}

/// Advances an index by a number of elements in row-major order. Returns the index of its element in the
/// storage.
fn advance(view: &TensorView, place: &mut [usize], mut by: usize) -> usize {
    for (index, extent) in place.iter_mut().zip(&view.shape).rev() {
        let moved = *index + by;
        *index = moved % extent;
        by = moved / extent;
    }
    let steps = place
        .iter()
        .zip(&view.strides)
        .map(|(index, stride)| index * stride);
    view.offset as usize + steps.sum::<usize>()
}

fn refused(path: &Path, error: PickleError) -> WeightError {
    match error {
        PickleError::Malformed(detail) => damaged(path, &detail),
        PickleError::RunsCode(call) => WeightError::RunsCode {
            path: path.into(),
            call,
        },
    }
}

fn damaged(path: &Path, detail: &dyn std::fmt::Display) -> WeightError {
    WeightError::Damaged {
        path: path.into(),
        detail: cut_line(&detail.to_string(), 200),
    }
}

fn io_error(path: &Path, source: std::io::Error) -> WeightError {
    WeightError::Io {
        path: path.into(),
        action: english!("read"),
        source,
    }
}
