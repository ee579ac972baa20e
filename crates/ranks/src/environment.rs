//! The environment variables by which launchers of MPI tell a process that it is one of several.

/// Number of processes and number of this one: Open MPI's `mpirun`; MPICH's and Intel's, and `srun --mpi=pmi2`.
const SIZES_AND_RANKS: [[&str; 2]; 2] = [
    ["OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"],
    ["PMI_SIZE", "PMI_RANK"],
];
/// The same of a step of Slurm, which `srun` starts. `SLURM_NTASKS` would be set in the script of a job, too, which is
/// no task.
const OF_STEP: [&str; 2] = ["SLURM_STEP_NUM_TASKS", "SLURM_PROCID"];
/// Variables of the ways in which MPI learns of the other processes.
const OF_MPI: [&str; 3] = ["PMIX_RANK", "PMI_RANK", "MPI_LOCALNRANKS"];

/// How this process was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Launch {
    /// Whether by a launcher of MPI, or as one of several tasks.
    pub by_mpi: bool,
    /// The number of processes; `None` where the launcher does not tell it.
    pub processes: Option<usize>,
}

impl Launch {
    /// Reads the variables, each of which `lookup` finds by its name.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name: &str| lookup(name)?.trim().parse::<usize>().ok();
        let count = |[size, rank]: [&str; 2]| {
            number(rank)?;
            number(size).filter(|&size| size > 0)
        };
        // A launcher of MPI may itself be started by Slurm, once on each machine: what it tells counts.
        if let Some(processes) = SIZES_AND_RANKS.into_iter().find_map(count) {
            return Self {
                by_mpi: true,
                processes: Some(processes),
            };
        }
        let tasks = count(OF_STEP);
        let has_mpi = OF_MPI.into_iter().any(|name| lookup(name).is_some());
        if has_mpi || tasks.is_some_and(|tasks| tasks > 1) {
            Self {
                by_mpi: true,
                processes: tasks,
            }
        } else {
            Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(variables: &[(&str, &str)]) -> Launch {
        Launch::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn by_mpi(processes: Option<usize>) -> Launch {
        Launch {
            by_mpi: true,
            processes,
        }
    }

    #[test]
    fn a_process_that_nobody_numbered_is_alone() {
        assert_eq!(launch(&[]), Launch::default());
    }

    #[test]
    fn mpirun_tells_the_number_of_processes() {
        let open_mpi = [("OMPI_COMM_WORLD_SIZE", "4"), ("OMPI_COMM_WORLD_RANK", "3")];
        assert_eq!(launch(&open_mpi), by_mpi(Some(4)));
        let mpich = [("PMI_SIZE", "2"), ("PMI_RANK", "0")];
        assert_eq!(launch(&mpich), by_mpi(Some(2)));
        let one = [("OMPI_COMM_WORLD_SIZE", "1"), ("OMPI_COMM_WORLD_RANK", "0")];
        assert_eq!(launch(&one), by_mpi(Some(1)));
    }

    #[test]
    fn srun_tells_it_with_a_plugin_for_mpi_or_without() {
        let tasks = [("SLURM_STEP_NUM_TASKS", "8"), ("SLURM_PROCID", "5")];
        assert_eq!(launch(&tasks), by_mpi(Some(8)));
        let one_with_plugin = [
            ("SLURM_STEP_NUM_TASKS", "1"),
            ("SLURM_PROCID", "0"),
            ("PMIX_RANK", "0"),
        ];
        assert_eq!(launch(&one_with_plugin), by_mpi(Some(1)));
    }

    #[test]
    fn one_task_of_srun_and_the_script_of_a_job_are_alone() {
        let one = [("SLURM_STEP_NUM_TASKS", "1"), ("SLURM_PROCID", "0")];
        assert_eq!(launch(&one), Launch::default());
        let script = [("SLURM_NTASKS", "64"), ("SLURM_PROCID", "0")];
        assert_eq!(launch(&script), Launch::default());
    }

    #[test]
    fn mpirun_counts_and_not_the_slurm_that_started_it_on_each_machine() {
        let both = [
            ("SLURM_STEP_NUM_TASKS", "2"),
            ("SLURM_PROCID", "1"),
            ("OMPI_COMM_WORLD_SIZE", "16"),
            ("OMPI_COMM_WORLD_RANK", "9"),
        ];
        assert_eq!(launch(&both), by_mpi(Some(16)));
    }

    #[test]
    fn a_launcher_that_does_not_tell_the_number_leaves_it_to_mpi() {
        assert_eq!(launch(&[("PMIX_RANK", "3")]), by_mpi(None));
        let damaged = [("PMI_SIZE", "many"), ("PMI_RANK", "0")];
        assert_eq!(launch(&damaged), by_mpi(None));
        let none = [("PMI_SIZE", "0"), ("PMI_RANK", "0")];
        assert_eq!(launch(&none), by_mpi(None));
    }
}
