//! The training images with the most doubtful labels, from the run's doubts.csv.

use std::path::{Path, PathBuf};

use warmstart_data::data_folder;
use warmstart_run::doubts::{Doubt, count, doubts_of};

use super::pictures::{PictureId, Pictures};
use crate::run_data::file_of;

/// Most doubtful labels that a report shows.
const SHOWN: usize = 24;

/// The doubtful labels of a run.
#[derive(Default)]
pub struct Doubts {
    /// The most doubtful ones, with their images.
    pub shown: Vec<(PictureId, Doubt)>,
    /// Number of doubtful labels.
    pub doubtful: usize,
    /// Number of labels that were judged.
    pub judged: usize,
}

impl Doubts {
    /// The doubts of a run on the data set `data`; none of a run that has no list of them.
    pub fn of(run: &Path, data: &Path, pictures: &mut Pictures) -> Self {
        let doubts = doubts_of(run).unwrap_or_default();
        let folder = data_folder(data);
        let shown: Vec<Doubt> = doubts
            .iter()
            .filter(|doubt| doubt.doubtful)
            .take(SHOWN)
            .cloned()
            .collect();
        let files: Vec<PathBuf> = shown
            .iter()
            .map(|doubt| file_of(&doubt.file, folder))
            .collect();
        Self {
            shown: pictures
                .of_files(&files, folder)
                .into_iter()
                .zip(shown)
                .collect(),
            doubtful: count(&doubts),
            judged: doubts.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use warmstart_recipe::run_files::DOUBTS;

    use super::*;

    #[test]
    fn the_doubtful_ones_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let list = "file,label,label_probability,probable,probability,doubtful\n\
                    a/3.png,a,0.2,b,0.8,true\n\
                    a/2.png,a,0.3,b,0.6,false\n\
                    b/1.png,b,0.9,b,0.9,false\n";
        std::fs::write(folder.path().join(DOUBTS), list).unwrap();
        let mut pictures = Pictures::default();
        let doubts = Doubts::of(folder.path(), Path::new("data"), &mut pictures);
        assert_eq!((doubts.doubtful, doubts.judged), (1, 3));
        assert_eq!(doubts.shown[0].1.probable, "b");
        assert_eq!(pictures.iter().next().unwrap().name, "a/3.png");
        let none = Doubts::of(Path::new("no run"), Path::new("data"), &mut pictures);
        assert_eq!((none.doubtful, none.judged), (0, 0));
    }
}
