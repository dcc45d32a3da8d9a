//! Members of objects, sorted by name (RFC 8785) where they were written.

use std::ops::Range;

/// The members of all objects that are being written: those of an object come behind those of the object that it is
/// in.
#[derive(Default)]
pub(super) struct MemberOrder {
    members: Vec<Range<usize>>,
    sorted: Vec<u8>,
}

impl MemberOrder {
    /// How many members there are of the objects that are being written.
    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    /// Notes where a member begins.
    pub(super) fn begin(&mut self, start: usize) {
        self.members.push(start..start);
    }

    /// Sorts the members of an object that ends with the text; `above` are those of the objects that it is in.
    pub(super) fn sort(&mut self, above: usize, text: &mut Vec<u8>) {
        let own = &mut self.members[above..];
        let mut end = text.len();
        for member in own.iter_mut().rev() {
            member.end = end;
            // The comma.
            end = member.start.saturating_sub(1);
        }
        let from = own.first().map_or(text.len(), |first| first.start);
        // A quote ends each name, and comes before all that names are made of.
        own.sort_unstable_by(|one, other| text[one.clone()].cmp(&text[other.clone()]));
        self.sorted.clear();
        for member in own {
            self.sorted.extend_from_slice(&text[member.clone()]);
            self.sorted.push(b',');
        }
        self.sorted.pop();
        text.truncate(from);
        text.extend_from_slice(&self.sorted);
        self.members.truncate(above);
    }
}
