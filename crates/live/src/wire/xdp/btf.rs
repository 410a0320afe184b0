//! The kernel's description of its own types (BTF), read for the number of one function.

/// Kinds of types that are followed by more bytes (kernel `btf.h`), with how many: fixed, and for each of its members.
const FOLLOWED: [(u32, usize, usize); 10] = [
    (1, 4, 0),   // integer
    (3, 12, 0),  // array
    (4, 0, 12),  // structure
    (5, 0, 12),  // union
    (6, 0, 8),   // enumeration
    (13, 0, 8),  // parameters of a function
    (14, 4, 0),  // variable
    (15, 0, 12), // section
    (17, 4, 0),  // tag of a declaration
    (19, 0, 12), // enumeration of 64 bits
];
const FUNCTION: u32 = 12;

/// The number of the function `name` in a description; `None` if it is not there, or the description is not whole.
pub(super) fn function(btf: &[u8], name: &str) -> Option<i32> {
    let number = |at: usize| Some(u32::from_ne_bytes(*btf.get(at..)?.first_chunk()?) as usize);
    if btf.get(..2)? != 0xeb9fu16.to_ne_bytes() {
        return None;
    }
    let header = number(4)?;
    let types = btf.get(header.checked_add(number(8)?)?..)?;
    let types = types.get(..number(12)?)?;
    let texts = btf.get(header.checked_add(number(16)?)?..)?;
    let texts = texts.get(..number(20)?)?;
    let (mut at, mut id) = (0usize, 1);
    while let Some(head) = types.get(at..at.checked_add(12)?) {
        let number = |at: usize| {
            head[at..at + 4]
                .first_chunk()
                .map_or(0, |b| u32::from_ne_bytes(*b))
        };
        let (text, info) = (number(0) as usize, number(4));
        let (kind, members) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        if kind == FUNCTION {
            let rest = texts.get(text..)?;
            if rest
                .strip_prefix(name.as_bytes())
                .is_some_and(|r| r.first() == Some(&0))
            {
                return Some(id);
            }
        }
        let more = FOLLOWED.iter().find(|f| f.0 == kind);
        at += 12 + more.map_or(0, |(_, fixed, each)| fixed + each * members);
        id += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_behind_types_of_every_length() {
        let mut types = Vec::new();
        let mut texts = vec![0];
        let mut add = |name: &str, kind: u32, members: u32, more: usize| {
            types.extend((texts.len() as u32).to_ne_bytes());
            types.extend((kind << 24 | members).to_ne_bytes());
            types.extend([0; 4]);
            types.resize(types.len() + more, 0);
            texts.extend(name.as_bytes());
            texts.push(0);
        };
        add("int", 1, 0, 4);
        add("pair", 4, 2, 24);
        add("found_not", 12, 0, 0);
        add("found", 12, 0, 0);
        let mut btf = 0xeb9fu16.to_ne_bytes().to_vec();
        btf.extend([1, 0]);
        for number in [24, 0, types.len(), types.len(), texts.len()] {
            btf.extend((number as u32).to_ne_bytes());
        }
        btf.extend(&types);
        btf.extend(&texts);
        assert_eq!(function(&btf, "found"), Some(4));
        assert_eq!(function(&btf, "lost"), None);
        for end in 0..btf.len() {
            assert_eq!(function(&btf[..end], "found"), None);
        }
    }
}
