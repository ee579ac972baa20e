//! `warmstart new`: a recipe with comments, for a data set.

use std::path::{Path, PathBuf};

use toml::{Table, Value};
use warmstart_data::scenes;
use warmstart_files::{one_line, shown};
use warmstart_language::{help_text, message, translated, wrapped};
use warmstart_nn::devices::DeviceName;
use warmstart_recipe::{
    Auto, Draft, Error, Key, NO_WEIGHTS, OptionInfo, PHASE_OPTIONS, Problem, RUN_OPTIONS, Recipe,
    TaskKind, TrainingImages, USUAL_WEIGHTS, absolute, architecture, command, settle_names,
};
use warmstart_run::event::Observer;
use warmstart_run::replace_file;
use warmstart_tasks::task::{Opened, Task};
use warmstart_tasks::with_task;

use crate::recognise::settle_model;

/// Longest line of a comment, in columns.
const COLUMNS: usize = 100;
/// Beginning of a line of a comment.
const MARK: &str = "# ";
/// Most classes that a comment names.
const NAMED_CLASSES: usize = 30;
/// Options of the run that a new recipe sets; the others are comments.
const OF_RUN: [&str; 4] = ["data", "model", "weights", "task"];
/// Options of a phase that it sets.
const OF_PHASE: [&str; 2] = ["epochs", "train"];

/// A request for a new recipe.
pub struct Request {
    /// The data set.
    pub data: PathBuf,
    /// The file to write.
    pub out: PathBuf,
    /// Architecture, or the name of its published weights; `None` for that of the weights.
    pub model: Option<String>,
    /// Pretrained file, name of published weights, or `none`; `None` for the model's usual ones.
    pub weights: Option<String>,
}

/// What a recipe was written for.
pub struct Content {
    /// The task that the data are for.
    pub task: TaskKind,
    /// Images of the three splits: training, validation and test.
    pub images: [usize; 3],
    /// The classes, each with the number of its training images, or objects in them.
    pub classes: Vec<(String, usize)>,
}

/// Looks at a data set and writes a recipe for it: the data, the weights and the phases, and every other option as a
/// comment, with the value that it has for these data.
///
/// # Errors
/// If there is a file of that name, the data cannot be opened, or there are no such weights.
pub fn write(request: &Request, observe: Observer) -> Result<Content, Error> {
    if request.out.symlink_metadata().is_ok() {
        return Err(
            Problem::new(message!("it exists already, and is not overwritten"))
                .of_file(&request.out)
                .fix(message!("give another {}", Key::OUT))
                .into(),
        );
    }
    let draft = draft(request, observe)?;
    let native_image_size = match &draft.model {
        Some(model) => architecture(model)?.pretrained().image_size,
        // Without a model the draft does not resolve, whatever the image size.
        None => 0,
    };
    let recipe = draft.resolve(native_image_size, None)?;
    let (content, images) = with_task!(recipe.task, T => look::<T>(&recipe))?;
    let recipe = draft.resolve(native_image_size, Some(images))?;
    let text = text(&recipe, &content, &request.out);
    replace_file(&request.out, text.as_bytes())?;
    Ok(content)
}

/// The request as a draft, with weights that are not looked for on the net.
fn draft(request: &Request, observe: Observer) -> Result<Draft, Error> {
    let data = absolute(&request.data);
    let task = if scenes::is_detection(&data) {
        TaskKind::Detect
    } else {
        TaskKind::Classify
    };
    let weights = request.weights.clone();
    let mut draft = Draft {
        data: Some(data),
        model: request.model.clone(),
        weights: weights.or_else(|| Some(USUAL_WEIGHTS.to_owned())),
        task: Some(task),
        // It is written as auto, for which no card is looked for here.
        device: Some(Auto::Value(DeviceName::Cpu)),
        ..Draft::default()
    };
    if settle_names(&mut draft)?.is_none() {
        settle_model(&mut draft, observe)?;
        draft.weights = draft.weights.map(|weights| from_everywhere(&weights));
    }
    Ok(draft)
}

/// A file of weights by a path that means the same from every folder. Links stay: the shards of an index lie beside the
/// link.
fn from_everywhere(weights: &str) -> String {
    let path = std::path::absolute(weights).ok();
    let text = path.as_deref().and_then(Path::to_str);
    text.filter(|_| weights != NO_WEIGHTS)
        .unwrap_or(weights)
        .to_owned()
}

/// What is in the data set of a recipe, and the facts that defaults depend on.
fn look<T: Task>(recipe: &Recipe) -> Result<(Content, TrainingImages), Error> {
    let Opened { data, .. } = T::open(recipe)?;
    let mut counts = vec![0; data.classes.len()];
    let labels = data.train.iter().map(|sample| &sample.label);
    labels
        .flat_map(T::classes_of)
        .for_each(|class| counts[class] += 1);
    let test = data.test.as_ref().map_or(0, Vec::len);
    let content = Content {
        task: T::KIND,
        images: [data.train.len(), data.validation.len(), test],
        classes: data.classes.iter().cloned().zip(counts).collect(),
    };
    let images = T::images(data, recipe)?.scale();
    Ok((content, images))
}

/// The text of a recipe, in which `recipe` has the values.
fn text(recipe: &Recipe, content: &Content, out: &Path) -> String {
    let mut text = String::new();
    head(&mut text, recipe, content, out);
    let values: Table =
        toml::from_str(&recipe.to_toml()).expect("a recipe that was written can be read");
    add_options(&mut text, RUN_OPTIONS, &values, &OF_RUN);
    let phases = values.get("phase").and_then(Value::as_array);
    let phases = phases.into_iter().flatten().filter_map(Value::as_table);
    for (phase, values) in recipe.phases.iter().zip(phases) {
        text += "\n[[phase]]\n";
        comment(&mut text, &message!("Name, shown in reports."));
        text += &format!("name = {}\n", Value::from(phase.name.clone()));
        if phase.is_solved() {
            comment(
                &mut text,
                &message!(
                    "The head of this phase is solved in closed form, in one epoch. An option of steps, such as lr, \
                     trains it by steps instead, in as many epochs as are given."
                ),
            );
        }
        add_options(&mut text, PHASE_OPTIONS, values, &OF_PHASE);
    }
    text
}

/// What the recipe is for, and how to use it.
fn head(text: &mut String, recipe: &Recipe, content: &Content, out: &Path) {
    let [train, validation, test] = content.images;
    let (data, classes) = (shown(&recipe.data), content.classes.len());
    let images = if test == 0 {
        message!(
            "A recipe for {data}: {classes} classes; {train} training, {validation} validation images."
        )
    } else {
        message!(
            "A recipe for {data}: {classes} classes; {train} training, {validation} validation, {test} test images."
        )
    };
    comment(text, &images);
    let named = content.classes.iter().take(NAMED_CLASSES);
    let named: Vec<String> = named
        .map(|(class, count)| format!("{} {count}", one_line(class)))
        .collect();
    let named = named.join(", ");
    let named = match content.classes.len().saturating_sub(NAMED_CLASSES) {
        0 => named,
        more => message!("{named}, and {more} more"),
    };
    let counted = translated(recipe.task.defaults().counted);
    comment(text, &message!("Training {counted} by class: {named}."));
    text.push_str("#\n");
    comment(text, &format!("warmstart train {}", command::word(out)));
    text.push_str("#\n");
    comment(
        text,
        &message!(
            "An option behind a # has the value that it has anyway, for these data: to change it, remove the # and \
             edit the value. Flags of the command line override what is here."
        ),
    );
}

/// Options with their documentation: those of `given` are set, the others are comments.
fn add_options(text: &mut String, options: &[OptionInfo], values: &Table, given: &[&str]) {
    for option in options {
        text.push('\n');
        let documentation = help_text(option.documentation.trim());
        comment(text, &message!("{documentation}."));
        let range = words_of_values(option);
        if !range.is_empty() {
            comment(text, &message!("Values: {range}."));
        }
        let is_given = given.contains(&option.key);
        if !option.default.is_empty() && !is_given {
            let default = help_text(option.default);
            comment(text, &message!("Default: {default}."));
        }
        let value = match option.default.split([' ', ';']).next() {
            // Decided later, by what the option's documentation says.
            Some("auto") if !is_given => "\"auto\"".to_owned(),
            Some(_) | None => values
                .get(option.key)
                .map_or_else(String::new, Value::to_string),
        };
        let mark = if is_given { "" } else { "#" };
        let line = format!("{mark}{} = {value}", option.key);
        *text += line.trim_end();
        text.push('\n');
    }
}

/// The values that an option can have.
fn words_of_values(option: &OptionInfo) -> String {
    if option.choices.is_empty() {
        return translated(option.range).to_owned();
    }
    let words = option.choices.iter().map(|choice| choice.word);
    words.collect::<Vec<_>>().join(", ")
}

/// Adds a comment, in as many lines as it needs.
fn comment(text: &mut String, words: &str) {
    for line in wrapped(words, COLUMNS - MARK.len()) {
        *text += MARK;
        *text += &line;
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use warmstart_language::columns;

    use super::*;

    #[test]
    fn comments_are_wrapped_and_hold_every_word() {
        let mut text = String::new();
        let words = "a word ".repeat(40);
        comment(&mut text, &words);
        assert!(text.lines().count() > 2);
        assert!(
            text.lines()
                .all(|line| line.starts_with("# ") && line.len() <= COLUMNS)
        );
        assert_eq!(text.matches("word").count(), 40);
    }

    #[test]
    fn chinese_is_wrapped_between_characters_and_not_before_punctuation() {
        let mut text = String::new();
        let words = "训练图片，每类 12 张：".repeat(20);
        comment(&mut text, &words);
        assert!(text.lines().count() > 2);
        for line in text.lines() {
            assert!(columns(line) <= COLUMNS && columns(line) > 8, "{line}");
            assert!(!line.starts_with("# ，") && !line.starts_with("# ："));
        }
        let plain = |text: &str| text.replace(['\n', '#', ' '], "");
        assert_eq!(plain(&text), plain(&words));
    }

    #[test]
    fn every_option_is_there_once_and_only_the_given_ones_are_set() {
        let values: Table = toml::from_str("data = 'd'\nseed = 42\nfit = 'crop'").unwrap();
        let mut text = String::new();
        add_options(&mut text, RUN_OPTIONS, &values, &["data"]);
        for option in RUN_OPTIONS {
            let begin = format!("{} =", option.key);
            let lines = text.lines().map(|line| line.trim_start_matches('#'));
            let count = lines.filter(|line| line.starts_with(&begin)).count();
            assert_eq!(count, 1, "{}", option.key);
        }
        let set: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let set: Vec<&str> = set.into_iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(set, ["data = \"d\""]);
        assert!(text.contains("\n#seed = 42\n") && text.contains("\n#fit = \"auto\"\n"));
    }
}
