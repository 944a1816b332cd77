//! Where the boxes of a graph go: columns by dependency, few crossings, lines that go around boxes.
//!
//! The usual four steps of a layered drawing: ranks by the longest way, stand-ins where a line passes a column, order by
//! the middle of the neighbours, positions that pull boxes towards what they are joined to. Knows nothing of resources.

/// A graph to lay out: the widths of its boxes, and its lines from left to right.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// Width of each box.
    pub widths: Vec<f64>,
    /// Lines: (from, to), no circles.
    pub lines: Vec<(usize, usize)>,
    /// Height of a box.
    pub height: f64,
    /// Between boxes of one column.
    pub gap: f64,
    /// Between columns.
    pub aisle: f64,
}

/// Where everything is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// Left upper corner of each box.
    pub boxes: Vec<(f64, f64)>,
    /// The points that each line goes through, the ends at the sides of boxes included.
    pub lines: Vec<Vec<(f64, f64)>>,
    /// Of all.
    pub width: f64,
    /// Of all.
    pub height: f64,
}

/// With more stand-ins than this, lines pass behind boxes instead: the drawing would be too large to read in any case.
const STAND_INS: usize = 6000;

/// How often columns are put in order, there and back, and how often boxes are pulled.
const SWEEPS: usize = 6;

/// One place of a column: a box, or a stand-in for a line that passes.
struct Place {
    rank: usize,
    height: f64,
    left: Vec<usize>,
    right: Vec<usize>,
}

/// The lines that tell something that no longer way tells: of `a → b → c`, not `a → c`.
pub fn reduced(count: usize, lines: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let ranks = ranks(count, lines);
    let mut next = vec![Vec::new(); count];
    lines.iter().for_each(|&(from, to)| next[from].push(to));
    let is_told = |from: usize, to: usize| {
        let mut seen = vec![false; count];
        let mut queue = next[from].iter().copied().filter(|&step| step != to).collect::<Vec<_>>();
        while let Some(at) = queue.pop() {
            if at == to {
                return true;
            }
            if ranks[at] < ranks[to] && !std::mem::replace(&mut seen[at], true) {
                queue.extend(&next[at]);
            }
        }
        false
    };
    // A line between neighbouring columns has no longer way.
    let keeps = |&&(from, to): &&(usize, usize)| ranks[to] <= ranks[from] + 1 || !is_told(from, to);
    lines.iter().filter(keeps).copied().collect()
}

/// The column of each box: one further than the furthest that a line comes from.
fn ranks(count: usize, lines: &[(usize, usize)]) -> Vec<usize> {
    let mut next = vec![Vec::new(); count];
    let mut missing = vec![0_usize; count];
    for &(from, to) in lines {
        next[from].push(to);
        missing[to] += 1;
    }
    let mut ranks = vec![0; count];
    let mut ready = (0..count).filter(|&at| missing[at] == 0).collect::<Vec<_>>();
    while let Some(at) = ready.pop() {
        for &to in &next[at] {
            ranks[to] = ranks[to].max(ranks[at] + 1);
            missing[to] -= 1;
            if missing[to] == 0 {
                ready.push(to);
            }
        }
    }
    ranks
}

/// Lays a graph out. Boxes keep the order that they are given in, where nothing else decides.
pub fn layout(input: &Input) -> Layout {
    let count = input.widths.len();
    let ranks = ranks(count, &input.lines);
    let mut places = (0..count)
        .map(|at| Place { rank: ranks[at], height: input.height, left: Vec::new(), right: Vec::new() })
        .collect::<Vec<_>>();
    let passed = input.lines.iter().map(|&(from, to)| ranks[to].saturating_sub(ranks[from] + 1)).sum::<usize>();
    let mut chains = Vec::with_capacity(input.lines.len());
    for &(from, to) in &input.lines {
        let mut chain = vec![from];
        if passed <= STAND_INS {
            for rank in ranks[from] + 1..ranks[to] {
                chain.push(places.len());
                places.push(Place { rank, height: input.height / 3.0, left: Vec::new(), right: Vec::new() });
            }
        }
        chain.push(to);
        for pair in chain.windows(2) {
            places[pair[0]].right.push(pair[1]);
            places[pair[1]].left.push(pair[0]);
        }
        chains.push(chain);
    }
    let mut columns = vec![Vec::new(); places.iter().map(|place| place.rank + 1).max().unwrap_or(0)];
    places.iter().enumerate().for_each(|(at, place)| columns[place.rank].push(at));
    arrange(&places, &mut columns);
    let middles = pull(&places, &columns, input.gap);
    let mut lefts = Vec::with_capacity(columns.len());
    let mut x = 0.0;
    for column in &columns {
        lefts.push(x);
        let widest = column.iter().filter(|&&at| at < count).map(|&at| input.widths[at]).fold(0.0, f64::max);
        x += widest + input.aisle;
    }
    let width = |at: usize| input.widths.get(at).copied().unwrap_or(0.0);
    let boxes = (0..count).map(|at| (lefts[ranks[at]], middles[at] - input.height / 2.0)).collect::<Vec<_>>();
    let lines = chains.iter().map(|chain| {
        let last = chain.len() - 1;
        let mut points = Vec::with_capacity(chain.len());
        for (number, &at) in chain.iter().enumerate() {
            let left = lefts[places[at].rank];
            points.push((if number == 0 { left + width(at) } else { left }, middles[at]));
            if number > 0 && number < last {
                // A line that passes goes straight through its column.
                let through = columns[places[at].rank].iter().filter(|&&at| at < count).map(|&at| input.widths[at]);
                points.push((left + through.fold(0.0, f64::max), middles[at]));
            }
        }
        points
    });
    let bottom = boxes.iter().map(|(_, y)| y + input.height).fold(0.0, f64::max);
    Layout { lines: lines.collect(), width: (x - input.aisle).max(0.0), height: bottom, boxes }
}

/// Puts each column in the order of the middles of the neighbours, from the left and from the right in turn.
fn arrange(places: &[Place], columns: &mut [Vec<usize>]) {
    let mut position = vec![0.0; places.len()];
    let note = |column: &[usize], position: &mut Vec<f64>| {
        for (number, &at) in column.iter().enumerate() {
            position[at] = fraction(number, column.len());
        }
    };
    columns.iter().for_each(|column| note(column, &mut position));
    for sweep in 0..SWEEPS * 2 {
        let from_left = sweep % 2 == 0;
        let mut order = (0..columns.len()).collect::<Vec<_>>();
        if !from_left {
            order.reverse();
        }
        for number in order {
            let mut keyed = columns[number]
                .iter()
                .map(|&at| {
                    let neighbours = if from_left { &places[at].left } else { &places[at].right };
                    let sum = neighbours.iter().map(|&other| position[other]).sum::<f64>();
                    let key = if neighbours.is_empty() { position[at] } else { sum / as_float(neighbours.len()) };
                    (key, at)
                })
                .collect::<Vec<_>>();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            columns[number] = keyed.into_iter().map(|(_, at)| at).collect();
            note(&columns[number], &mut position);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "boxes are counted in thousands")]
fn as_float(number: usize) -> f64 {
    number as f64
}

/// Where in its column, between 0 and 1.
fn fraction(number: usize, of: usize) -> f64 {
    (as_float(number) + 0.5) / as_float(of.max(1))
}

/// The vertical middles: each is pulled towards its neighbours and keeps its distance.
fn pull(places: &[Place], columns: &[Vec<usize>], gap: f64) -> Vec<f64> {
    let mut middles = vec![0.0; places.len()];
    let tall = |column: &Vec<usize>| column.iter().map(|&at| places[at].height + gap).sum::<f64>();
    let tallest = columns.iter().map(tall).fold(0.0, f64::max);
    for column in columns {
        let mut y = (tallest - tall(column)) / 2.0;
        for &at in column {
            middles[at] = y + places[at].height / 2.0;
            y += places[at].height + gap;
        }
    }
    for sweep in 0..SWEEPS * 2 {
        let from_left = sweep % 2 == 0;
        let mut order = (0..columns.len()).collect::<Vec<_>>();
        if !from_left {
            order.reverse();
        }
        for number in order {
            let column = &columns[number];
            let wish = |at: usize| {
                let neighbours = if from_left { &places[at].left } else { &places[at].right };
                let sum = neighbours.iter().map(|&other| middles[other]).sum::<f64>();
                if neighbours.is_empty() { middles[at] } else { sum / as_float(neighbours.len()) }
            };
            let wishes = column.iter().map(|&at| wish(at)).collect::<Vec<_>>();
            // From above and from below nothing comes too near; between the two is fair.
            let apart = |a: usize, b: usize| (places[a].height + places[b].height) / 2.0 + gap;
            let mut down = wishes.clone();
            for at in 1..column.len() {
                down[at] = down[at].max(down[at - 1] + apart(column[at - 1], column[at]));
            }
            let mut up = wishes;
            for at in (1..column.len()).rev() {
                up[at - 1] = up[at - 1].min(up[at] - apart(column[at - 1], column[at]));
            }
            for (number, &at) in column.iter().enumerate() {
                middles[at] = down[number].midpoint(up[number]);
            }
        }
    }
    let top = places.iter().zip(&middles).map(|(place, middle)| middle - place.height / 2.0).fold(f64::MAX, f64::min);
    middles.iter_mut().for_each(|middle| *middle -= top);
    middles
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn input(count: usize, lines: &[(usize, usize)]) -> Input {
        Input { widths: vec![100.0; count], lines: lines.to_vec(), height: 30.0, gap: 10.0, aisle: 50.0 }
    }

    #[test]
    fn what_a_longer_way_tells_is_left_out() {
        assert_eq!(reduced(4, &[(0, 1), (1, 2), (0, 2), (0, 3)]), [(0, 1), (1, 2), (0, 3)]);
    }

    #[test]
    fn a_chain_is_a_straight_line() {
        let layout = layout(&input(3, &[(0, 1), (1, 2)]));
        assert_eq!(layout.boxes, [(0.0, 0.0), (150.0, 0.0), (300.0, 0.0)]);
        assert_eq!(layout.lines[0], [(100.0, 15.0), (150.0, 15.0)]);
        assert_eq!((layout.width, layout.height), (400.0, 30.0));
    }

    proptest! {
        #[test]
        fn boxes_do_not_overlap_and_lines_go_right(edges in proptest::collection::vec((0usize..30, 0usize..30), 0..90)) {
            let lines = edges.into_iter().filter(|(a, b)| a < b).collect::<Vec<_>>();
            let laid = layout(&input(30, &lines));
            for (at, a) in laid.boxes.iter().enumerate() {
                for b in &laid.boxes[at + 1..] {
                    prop_assert!(a.0 != b.0 || (a.1 - b.1).abs() >= 30.0 - 1e-6, "{a:?} {b:?}");
                }
                prop_assert!(a.1 >= -1e-6 && a.1 + 30.0 <= laid.height + 1e-6);
            }
            for (line, (from, to)) in laid.lines.iter().zip(&lines) {
                prop_assert!(laid.boxes[*from].0 < laid.boxes[*to].0);
                prop_assert!(line.windows(2).all(|pair| pair[0].0 <= pair[1].0 + 1e-6), "{line:?}");
            }
        }
    }
}
