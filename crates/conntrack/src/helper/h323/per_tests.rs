//! What the decoder makes of odd messages, by descriptions made for the purpose.

use super::per::{
    Choice, Fault, Kind, SKIP, Value, closed, decode, extensible, field, maybe, unread, unread_root,
};

const NUMBER: Kind = Kind::Integer(0, u32::MAX);

fn read(bytes: &[u8], kind: &Kind) -> Result<Value, Fault> {
    decode(bytes, 0, kind)
}

/// Whether a type takes exactly so many bytes: one fewer is a fault.
#[test]
fn each_type_takes_the_bytes_it_should() {
    for (kind, bytes) in [
        (Kind::Null, &b""[..]),
        (Kind::Bool, b"\x80"),
        (Kind::Integer(1, 256), b"\x05"),
        (Kind::Integer(1, 255), b"\x05"),
        (Kind::Integer(0, 65_535), b"\0\x05"),
        (Kind::Integer(0, 3), b"\xc0"),
        (Kind::AnyInteger, b"\x02\x01\x02"),
        (Kind::Oid, b"\x02\x01\x02"),
        (Kind::Bits(None), b"\x09\xff\x80"),
        (Kind::Bits(Some((0, 2048))), b"\0\x09\xff\x80"),
        // Seven bits of length, and four bits a character in whole bytes from the next one.
        (Kind::Digits(1, 128), b"\x04\x12\x30"),
        (Kind::Octets(2), b"ab"),
        (Kind::Octets(4), b"abcd"),
        (Kind::SomeOctets(1, 20), b"\x08ab"),
        (Kind::SomeOctets(1, 256), b"\x01ab"),
        (Kind::AnyOctets, b"\x02ab"),
        (Kind::AnyOctets, b"\x80\x02ab"),
        (Kind::Wide(1, 128), b"\x02\0a\0b"),
        (Kind::List(&Kind::Octets(4)), b"\x02abcdefgh"),
    ] {
        assert!(read(bytes, &kind).is_ok(), "{bytes:02x?}");
        if let Some((_, shorter)) = bytes.split_last() {
            assert_eq!(read(shorter, &kind), Err(Fault), "{shorter:02x?}");
        }
    }
}

#[test]
fn a_kept_number_is_skipped_twice_and_must_have_room_for_that() {
    const KIND: Kind = Kind::Sequence(&extensible(&[], &[maybe("n", NUMBER).keep()]));
    // Extension bit, one extension, which is there; in three bytes, of which two are the number.
    let message = b"\x80\x80\x03\x40\x01\x02";
    assert_eq!(read(message, &KIND), Err(Fault));
    let longer = [&message[..], b"\0\0"].concat();
    let number = Value::Sequence(vec![("n", Value::Number(0x102))]);
    assert_eq!(read(&longer, &KIND), Ok(number));
}

#[test]
fn a_number_has_its_lower_bound_added_and_wraps() {
    const KIND: Kind = Kind::Sequence(&closed(&[field("n", Kind::Integer(1, u32::MAX)).keep()]));
    let all = b"\xc0\xff\xff\xff\xff\0\0\0\0";
    let zero = Value::Sequence(vec![("n", Value::Number(0))]);
    assert_eq!(read(all, &KIND), Ok(zero));
}

#[test]
fn a_number_that_is_not_kept_is_skipped_once() {
    const KIND: Kind = Kind::Sequence(&closed(&[field("n", NUMBER)]));
    assert!(read(b"\x80\0\0\x05", &KIND).is_ok());
    assert_eq!(read(b"\x80\0\0", &KIND), Err(Fault));
}

#[test]
fn newer_extensions_are_taken_for_present_whatever_the_bitmap_says() {
    const KIND: Kind = Kind::Sequence(&extensible(
        &[],
        &[SKIP, maybe("place", Kind::Octets(4)).keep()],
    ));
    let place = |at| Ok(Value::Sequence(vec![("place", Value::Place(at))]));
    // Two extensions, the second is there.
    assert_eq!(read(b"\x81\x40\x04abcd", &KIND), place(3));
    // A third one is known to the sender, and absent: what follows is taken for it.
    assert_eq!(read(b"\x82\x40\x04abcd", &KIND), Err(Fault));
    assert_eq!(read(b"\x82\x40\x04abcd\x01x", &KIND), place(3));
}

#[test]
fn reading_may_stop_in_the_middle_and_goes_on_there() {
    const INNER: Kind = Kind::Sequence(&unread_root(&[field("a", Kind::Octets(4)).keep()], 9));
    const KIND: Kind = Kind::Sequence(&closed(&[
        field("inner", INNER).keep(),
        field("b", Kind::Octets(4)).keep(),
    ]));
    let found = read(b"\0\0abcdefgh", &KIND).unwrap();
    assert_eq!(found.get("inner").unwrap().place("a"), Some(2));
    assert_eq!(found.place("b"), Some(6));

    const EXTENSION: Kind = Kind::Sequence(&unread(&[], &[SKIP]));
    // Nothing of the second extension has to be there.
    assert_eq!(
        read(b"\x81\x40", &EXTENSION),
        Ok(Value::Sequence(Vec::new()))
    );
}

#[test]
fn more_than_32_extensions_are_a_fault() {
    const KIND: Kind = Kind::Sequence(&unread(&[], &[]));
    let none = Ok(Value::Sequence(Vec::new()));
    assert_eq!(read(b"\x9f\0\0\0\0", &KIND), none);
    assert_eq!(read(b"\xa0\0\0\0\0\0", &KIND), Err(Fault));
}

#[test]
fn a_bitmap_that_ends_with_a_fourth_byte_is_read_from_the_start_of_its_first_one() {
    const INNER: Kind = Kind::Sequence(&unread(
        &[],
        &[SKIP, maybe("place", Kind::Octets(4)).keep()],
    ));
    const ON_A_BYTE: Kind = Kind::Sequence(&closed(&[
        field("", Kind::Integer(0, 255)),
        field("inner", INNER).keep(),
    ]));
    const BEHIND_A_BIT: Kind = Kind::Sequence(&closed(&[
        field("", Kind::Bool),
        field("inner", INNER).keep(),
    ]));
    // A bitmap of 32 bits on a byte: the second extension is there.
    let plain = b"\0\x9f\x40\0\0\0\x04abcd";
    let found = read(plain, &ON_A_BYTE).unwrap();
    assert_eq!(found.get("inner").unwrap().place("place"), Some(7));
    // One of 31 bits behind one bit, which is taken for the bitmap's first one.
    let shifted = b"\x4f\x20\0\0\0\x04abcd";
    let found = read(shifted, &BEHIND_A_BIT).unwrap();
    assert_eq!(found.get("inner").unwrap().place("place"), None);
}

#[test]
fn alternatives_beyond_the_known_ones_are_passed_over_by_their_length() {
    const KIND: Kind = Kind::Choice(&Choice {
        extensible: true,
        root: &[
            field("a", Kind::Null),
            field("b", Kind::Null),
            field("c", Kind::Null),
        ],
        more: &[field("d", Kind::Octets(4)).keep(), field("e", Kind::Unread)],
    });
    let chosen = |name, value| Ok(Value::Choice(name, Box::new(value)));
    assert_eq!(read(b"\x20", &KIND), chosen("b", Value::Nothing));
    // There are three, in two bits.
    assert_eq!(read(b"\x60", &KIND), Err(Fault));
    assert_eq!(read(b"\x80\x04abcd", &KIND), chosen("d", Value::Place(2)));
    assert_eq!(read(b"\x81", &KIND), chosen("e", Value::Nothing));
    assert_eq!(read(b"\x82\x01x", &KIND), chosen("", Value::Nothing));
    assert_eq!(read(b"\x82\x02x", &KIND), Err(Fault));
}

#[test]
fn of_a_list_so_many_are_kept_and_all_are_read() {
    const KIND: Kind = Kind::Kept {
        item: &Kind::Octets(4),
        most: 1,
        open: true,
    };
    let one = Ok(Value::List(vec![Value::Place(2)]));
    assert_eq!(read(b"\x02\x04abcd\x04efgh", &KIND), one);
    assert_eq!(read(b"\x02\x04abcd\x04efg", &KIND), Err(Fault));
    // What an item holds may be longer than its length says, and ends where that says.
    const TWO: Kind = Kind::Kept {
        item: &Kind::Octets(4),
        most: 2,
        open: true,
    };
    let overlapping = Ok(Value::List(vec![Value::Place(2), Value::Place(4)]));
    assert_eq!(read(b"\x02\x01a\x01bcde", &TWO), overlapping);
}

#[test]
fn a_length_needs_two_bytes_even_where_it_takes_one() {
    assert_eq!(read(b"\0", &Kind::AnyOctets), Err(Fault));
    assert_eq!(read(b"\0x", &Kind::AnyOctets), Ok(Value::Nothing));
}
