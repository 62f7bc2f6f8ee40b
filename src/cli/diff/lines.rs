//! Two texts line by line: what is the same, what goes, what is new.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Same,
    Gone,
    New,
}

impl Op {
    pub fn sign(self) -> char {
        match self {
            Op::Same => ' ',
            Op::Gone => '-',
            Op::New => '+',
        }
    }
}

/// Tables of more entries are not made: everything between the first and the last difference is then told as gone and new.
const LARGEST_TABLE: usize = 4_000_000;

/// Lines of one text that became another, by their longest common subsequence.
pub(super) fn compare<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(Op, &'t str)> {
    let front = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[front..], &new[front..]);
    let back = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_mid, new_mid) = (&old_rest[..old_rest.len() - back], &new_rest[..new_rest.len() - back]);
    let mut out: Vec<(Op, &str)> = old[..front].iter().map(|line| (Op::Same, *line)).collect();
    out.extend(middle(old_mid, new_mid));
    out.extend(old_rest[old_rest.len() - back..].iter().map(|line| (Op::Same, *line)));
    out
}

fn middle<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(Op, &'t str)> {
    let width = new.len() + 1;
    let small = (old.len() + 1).checked_mul(width).is_some_and(|entries| entries <= LARGEST_TABLE);
    if old.is_empty() || new.is_empty() || !small {
        let gone = old.iter().map(|line| (Op::Gone, *line));
        return gone.chain(new.iter().map(|line| (Op::New, *line))).collect();
    }
    // How many lines are common behind each pair of places.
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::with_capacity(old.len().max(new.len()));
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            out.push((Op::Same, old[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || common[(i + 1) * width + j] >= common[i * width + j + 1]) {
            out.push((Op::Gone, old[i]));
            i += 1;
        } else {
            out.push((Op::New, new[j]));
            j += 1;
        }
    }
    out
}

/// Only what changed, with up to `around` lines of what stands about it. `None` is a gap.
pub(super) fn in_context<'t>(compared: &[(Op, &'t str)], around: usize) -> Vec<Option<(Op, &'t str)>> {
    let near = |at: usize| {
        let window = at.saturating_sub(around)..(at + around + 1).min(compared.len());
        compared[window].iter().any(|(op, _)| *op != Op::Same)
    };
    let mut out = Vec::new();
    for (at, line) in compared.iter().enumerate() {
        if near(at) {
            out.push(Some(*line));
        } else if !matches!(out.last(), Some(None)) {
            out.push(None);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(old: &str, new: &str) -> String {
        let (old, new): (Vec<&str>, Vec<&str>) = (old.split(' ').collect(), new.split(' ').collect());
        compare(&old, &new).iter().map(|(op, line)| format!("{}{line}", op.sign())).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn what_is_common_stays() {
        assert_eq!(told("a b c", "a b c"), " a| b| c");
        assert_eq!(told("a b c", "a x c"), " a|-b|+x| c");
        assert_eq!(told("a b c d e", "b x d y"), "-a| b|-c|+x| d|-e|+y");
        assert_eq!(told("a c", "a b c"), " a|+b| c");
    }

    #[test]
    fn far_from_a_change_there_are_gaps() {
        let lines = ["1", "2", "3", "4", "5", "6"];
        let compared = compare(&lines, &["1", "2", "3", "x", "5", "6"]);
        let shown = in_context(&compared, 1);
        let shown: Vec<String> =
            shown.iter().map(|line| line.map_or("…".into(), |(op, line)| format!("{}{line}", op.sign()))).collect();
        assert_eq!(shown, ["…", " 3", "-4", "+x", " 5", "…"]);
    }

    #[test]
    fn texts_too_large_for_the_table_are_told_all_the_same() {
        let old: Vec<String> = (0..3000).map(|n| format!("a{n}")).collect();
        let new: Vec<String> = (0..3000).map(|n| format!("b{n}")).collect();
        let (old, new): (Vec<&str>, Vec<&str>) =
            (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
        assert_eq!(compare(&old, &new).len(), 6000);
    }
}
