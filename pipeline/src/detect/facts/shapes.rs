//! Telling heads apart by the shapes of inputs and outputs, and by metadata where shapes can't.

use super::super::head::GridLevels;
use super::{Element, Head, InputSize, ModelDescription, Outputs, Refusal, TensorFacts};

/// An end-to-end output lists at most so many detections; 300 by default.
const MOST_DETECTIONS: u64 = 1_000;

/// The input that takes the picture.
pub(super) fn picture_input(model: &ModelDescription) -> Result<&TensorFacts, Refusal> {
    let images = model.inputs.iter().find(|input| input.dims.len() == 4);
    let images = images.ok_or_else(|| Refusal::NoPictureInput { inputs: list(&model.inputs) })?;
    if let Some(channels) = images.dims[1].filter(|&channels| channels != 3) {
        return Err(Refusal::Channels { input: images.to_string(), channels });
    }
    if !images.is_float() {
        return Err(Refusal::InputElement { input: images.to_string(), element: images.element.clone() });
    }
    Ok(images)
}

/// The head: the one named, if it fits, else the only one that can be. `names` is the number of classes, if
/// known.
pub(super) fn tell_head(
    model: &ModelDescription,
    images: &TensorFacts,
    named: Option<Head>,
    names: Option<usize>,
) -> Result<Head, Refusal> {
    if let Some(head) = named {
        return check_named(model, images, head, names).map(|()| head);
    }
    if is_detr(model) {
        return Ok(Head::Detr);
    }
    let unknown = || Refusal::UnknownHead { outputs: list(&model.outputs) };
    let output = main_output(model).ok_or_else(unknown)?;
    let ambiguous = |candidates: &[Head]| {
        let names: Vec<&str> = candidates.iter().map(|head| head.as_str()).collect();
        Refusal::AmbiguousHead { output: output.to_string(), candidates: names.join(" or ") }
    };
    let (first, second) = (output.dims[1], output.dims[2]);
    let grid = Grid::new(images);

    let end2end = model.says("end2end").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if end2end && second.is_none_or(|second| second == 6) {
        return Ok(Head::End2end);
    }
    let values = names.map(|names| names as u64);
    let is = |dim: Option<u64>, extra: u64| dim.is_some() && dim == values.map(|values| values + extra);
    // A few rows of six values are final detections, unless these few are just as many as the grid has cells.
    let few = first.is_some_and(|first| first <= MOST_DETECTIONS && grid.anchors_per_cell(first).is_none());
    if second == Some(6) && few {
        return Ok(Head::End2end);
    }
    if is(first, 4) && !(is(second, 5) && first > second) {
        return Ok(Head::Yolov8);
    }
    if is(second, 5) {
        return per_anchor(model, grid, first).ok_or_else(|| ambiguous(&[Head::Yolov5, Head::Yolox]));
    }
    if is(second, 4) && first.is_some_and(|first| grid.anchors_per_cell(first) == Some(1)) {
        return Ok(Head::Yolov8);
    }
    // The names don't fit, or there are none: the longer dimension holds the anchors.
    match (first, second) {
        (Some(first), Some(second)) if first < second && first > 4 => Ok(Head::Yolov8),
        (Some(first), None) if first > 4 && first != 300 => Ok(Head::Yolov8),
        (Some(_), Some(second)) if second > 5 => {
            if few {
                return Err(unknown());
            }
            per_anchor(model, grid, first).ok_or_else(|| ambiguous(&[Head::Yolov5, Head::Yolox]))
        }
        (None, Some(6)) => Err(ambiguous(&[Head::End2end, Head::Yolov5, Head::Yolox])),
        (None, Some(second)) if second > 5 => {
            per_anchor(model, grid, None).ok_or_else(|| ambiguous(&[Head::Yolov5, Head::Yolox]))
        }
        // Nothing but symbols: the yolov5 exporter writes `stride` and `names`, that of Ultralytics `task`
        // besides.
        (_, None) if model.says("stride").is_some() && model.says("task").is_none() => Ok(Head::Yolov5),
        (None, None) if model.says("task").is_some() => Ok(Head::Yolov8),
        (_, None) => Err(ambiguous(&[Head::Yolov8, Head::Yolov5, Head::Yolox, Head::End2end])),
        _ => Err(unknown()),
    }
}

/// yolov5 or yolox, of an output with a row per anchor. Three anchors a cell are yolov5's, one is YOLOX's;
/// the yolov5 exporter leaves its stride in the metadata, that of YOLOX nothing. None where these disagree or
/// are silent.
fn per_anchor(model: &ModelDescription, grid: Grid, anchors: Option<u64>) -> Option<Head> {
    let exported = model.says("stride").is_some();
    match (anchors.and_then(|anchors| grid.anchors_per_cell(anchors)), exported) {
        (Some(3), _) | (None, true) => Some(Head::Yolov5),
        (Some(1), false) => Some(Head::Yolox),
        _ => None,
    }
}

/// The input's size, where it is fixed.
#[derive(Clone, Copy)]
struct Grid(Option<InputSize>);

impl Grid {
    fn new(images: &TensorFacts) -> Self {
        let side = |axis: usize| images.dims[axis].and_then(|side| u32::try_from(side).ok());
        Self(side(2).zip(side(3)).map(|(height, width)| InputSize { height, width }))
    }

    /// 1 or 3, where the number of anchors tells.
    fn anchors_per_cell(self, anchors: u64) -> Option<usize> {
        let (input, anchors) = (self.0?, usize::try_from(anchors).ok()?);
        [1, 3].into_iter().find(|&per_cell| GridLevels::with_anchors(input, anchors, per_cell).is_some())
    }
}

/// A head that was named is believed, unless the shapes rule it out.
fn check_named(
    model: &ModelDescription,
    images: &TensorFacts,
    head: Head,
    names: Option<usize>,
) -> Result<(), Refusal> {
    let does_not_fit = |reason: String| Refusal::HeadDoesNotFit { head, reason };
    match (head == Head::Detr, is_detr(model)) {
        (true, true) => return Ok(()),
        (false, true) => return Err(does_not_fit("its inputs and outputs are those of a detr model".into())),
        (true, false) => {
            return Err(does_not_fit(format!(
                "it needs a second input (orig_target_sizes, int64) and the outputs labels, boxes, scores; there \
                 are the inputs {} and the outputs {}",
                list(&model.inputs),
                list(&model.outputs)
            )));
        }
        (false, false) => {}
    }
    let output = main_output(model).ok_or_else(|| {
        does_not_fit(format!("there is no output of three dimensions in {}", list(&model.outputs)))
    })?;
    let others = Head::ALL.into_iter().filter(|&other| other != head);
    // What fits no head with that many names may be right but for the names: `layout` says so.
    let wrong_names = names.is_some()
        && classes_in(output, head).is_some()
        && others.into_iter().all(|other| !has_layout(output, other, names));
    if !has_layout(output, head, names) && !wrong_names {
        let values = |extra: usize| match names {
            Some(names) => format!("{} values an anchor for {names} classes", extra + names),
            None => format!("more than {extra} values an anchor"),
        };
        let wanted = match head {
            Head::Yolov8 => values(4),
            Head::Yolov5 | Head::Yolox => values(5),
            Head::End2end | Head::Detr => "6 values a detection".into(),
        };
        return Err(does_not_fit(format!("it gives {wanted}, and the output is {output}")));
    }
    match (head, Grid::new(images), output.dims[1]) {
        (Head::Yolox, Grid(Some(input)), Some(anchors)) if !one_per_cell(input, anchors) => {
            Err(does_not_fit(format!("{anchors} anchors are no yolox grid for an input of {input}")))
        }
        _ => Ok(()),
    }
}

fn one_per_cell(input: InputSize, anchors: u64) -> bool {
    usize::try_from(anchors).is_ok_and(|anchors| GridLevels::with_anchors(input, anchors, 1).is_some())
}

/// Whether the output can be the head's, for that many classes; unknown numbers fit.
fn has_layout(output: &TensorFacts, head: Head, names: Option<usize>) -> bool {
    let (first, second) = (output.dims[1], output.dims[2]);
    let holds = |dim: Option<u64>, extra: u64| match (dim, names) {
        (None, _) => true,
        (Some(dim), None) => dim > extra,
        (Some(dim), Some(names)) => dim == names as u64 + extra,
    };
    match head {
        Head::Yolov8 => holds(first, 4) || holds(second, 4),
        Head::Yolov5 | Head::Yolox => holds(second, 5),
        Head::End2end => second.is_none_or(|second| second == 6),
        Head::Detr => false,
    }
}

/// Number of classes that the output tells apart if it is the head's, as far as its shape says.
fn classes_in(output: &TensorFacts, head: Head) -> Option<u64> {
    let (first, second) = (output.dims[1], output.dims[2]);
    match head {
        // The shorter dimension; the other one holds the anchors.
        Head::Yolov8 => match (first, second) {
            (Some(first), Some(second)) => first.min(second),
            (first, second) => first.or(second)?,
        }
        .checked_sub(4),
        Head::Yolov5 | Head::Yolox => second?.checked_sub(5),
        Head::End2end | Head::Detr => None,
    }
    .filter(|&classes| classes > 0)
}

/// Names of what to fill and to read.
pub(super) struct Layout {
    pub(super) original_size: Option<String>,
    pub(super) outputs: Outputs,
}

/// Where the head's results are, once names and channels agree.
pub(super) fn layout(
    model: &ModelDescription,
    images: &TensorFacts,
    head: Head,
    names: usize,
) -> Result<Layout, Refusal> {
    let unknown = || Refusal::UnknownHead { outputs: list(&model.outputs) };
    let (original_size, outputs) = if head == Head::Detr {
        let (outputs, size) = detr_outputs(model).zip(size_input(model)).ok_or_else(unknown)?;
        (Some(size.name.clone()), outputs)
    } else {
        let output = main_output(model).ok_or_else(unknown)?;
        if !has_layout(output, head, Some(names)) {
            let classes = classes_in(output, head).ok_or_else(unknown)?;
            return Err(Refusal::NamesCount { names, classes, output: output.to_string() });
        }
        (None, Outputs::One(output.name.clone()))
    };
    // An input that nobody fills would fail in the first run.
    let filled =
        |input: &TensorFacts| input.name == images.name || Some(&input.name) == original_size.as_ref();
    match model.inputs.iter().find(|input| !filled(input)) {
        Some(input) => Err(Refusal::UnknownInput { input: input.to_string() }),
        None => Ok(Layout { original_size, outputs }),
    }
}

fn is_detr(model: &ModelDescription) -> bool {
    size_input(model).is_some() && detr_outputs(model).is_some()
}

/// DETR's second input: width and height of the original picture.
fn size_input(model: &ModelDescription) -> Option<&TensorFacts> {
    model.inputs.iter().find(|input| {
        input.element == Element::I64 && input.dims.len() == 2 && input.dims[1].is_none_or(|dim| dim == 2)
    })
}

/// DETR's three outputs in any order, told by type and shape.
fn detr_outputs(model: &ModelDescription) -> Option<Outputs> {
    let find = |element: fn(&TensorFacts) -> bool, rank: usize| {
        model.outputs.iter().find(|output| element(output) && output.dims.len() == rank)
    };
    let labels = find(|output| output.element == Element::I64, 2)?;
    let boxes = find(TensorFacts::is_float, 3).filter(|boxes| boxes.dims[2].is_none_or(|dim| dim == 4))?;
    let scores = find(TensorFacts::is_float, 2)?;
    Some(Outputs::Detr {
        labels: labels.name.clone(),
        boxes: boxes.name.clone(),
        scores: scores.name.clone(),
    })
}

/// The output of a YOLO head: the first of three dimensions; older exports list raw feature maps behind it.
fn main_output(model: &ModelDescription) -> Option<&TensorFacts> {
    model.outputs.iter().find(|output| output.dims.len() == 3 && output.is_float())
}

fn list(tensors: &[TensorFacts]) -> String {
    let each: Vec<String> = tensors.iter().map(ToString::to_string).collect();
    if each.is_empty() { "none".into() } else { each.join(", ") }
}
