//! `-m owner`.

use super::prelude::*;

/// Whose a socket is to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Numbers from first to last.
    Range(u32, u32),
    /// A name that is no number here: only the rules' own host knows it.
    Name(String),
}

/// `-m owner`: who owns the socket that made a packet.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Owner {
    /// `--socket-exists`.
    pub socket: Option<Not<()>>,
    /// `--uid-owner`.
    pub user: Option<Not<Who>>,
    /// `--gid-owner`.
    pub group: Option<Not<Who>>,
    /// `--suppl-groups`: the owner's further groups count too.
    pub further_groups: bool,
}

/// Users that have the same number on every Debian (`/usr/share/base-passwd`).
const USERS: [(&str, u32); 17] = [
    ("root", 0),
    ("daemon", 1),
    ("bin", 2),
    ("sys", 3),
    ("sync", 4),
    ("games", 5),
    ("man", 6),
    ("lp", 7),
    ("mail", 8),
    ("news", 9),
    ("uucp", 10),
    ("proxy", 13),
    ("www-data", 33),
    ("backup", 34),
    ("list", 38),
    ("irc", 39),
    ("nobody", 65_534),
];

/// Likewise groups.
const GROUPS: [(&str, u32); 38] = [
    ("root", 0),
    ("daemon", 1),
    ("bin", 2),
    ("sys", 3),
    ("adm", 4),
    ("tty", 5),
    ("disk", 6),
    ("lp", 7),
    ("mail", 8),
    ("news", 9),
    ("uucp", 10),
    ("man", 12),
    ("proxy", 13),
    ("kmem", 15),
    ("dialout", 20),
    ("fax", 21),
    ("voice", 22),
    ("cdrom", 24),
    ("floppy", 25),
    ("tape", 26),
    ("sudo", 27),
    ("audio", 29),
    ("dip", 30),
    ("www-data", 33),
    ("backup", 34),
    ("operator", 37),
    ("list", 38),
    ("irc", 39),
    ("src", 40),
    ("shadow", 42),
    ("utmp", 43),
    ("video", 44),
    ("sasl", 45),
    ("plugdev", 46),
    ("staff", 50),
    ("games", 60),
    ("users", 100),
    ("nogroup", 65_534),
];

/// The highest number: the one above means nobody.
const MOST: u64 = u32::MAX as u64 - 1;

fn who(text: &str, known: &[(&str, u32)]) -> Value<Who> {
    if let Some((_, id)) = known.iter().find(|(name, _)| *name == text) {
        return Ok(Who::Range(*id, *id));
    }
    // A user's name never begins with a digit.
    if !text.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
        let letters = |b: u8| b.is_ascii_alphanumeric() || b"._-$@\\".contains(&b);
        if text.is_empty() || !text.bytes().all(letters) || text.starts_with('-') {
            return Err(Bad::new(format!("'{text}' is neither a number nor a name")));
        }
        // Samba's names of machines end with one.
        if text.trim_end_matches('$').contains('$') {
            return Err(
                Bad::new(format!("'{text}' is no name: variables mean nothing here"))
                    .help("the name or number that it stands for"),
            );
        }
        return Ok(Who::Name(text.to_string()));
    }
    let (first, last) = text
        .split_once(['-', ':'])
        .map_or((text, text), |(first, last)| (first, last));
    let (first, last) = (value::number(first, MOST)?, value::number(last, MOST)?);
    if first > last {
        return Err(
            Bad::new(format!("the range {text} is backwards")).help(format!("{last}-{first}"))
        );
    }
    Ok(Who::Range(first as u32, last as u32))
}

fn show(who: &Who) -> String {
    match who {
        Who::Range(first, last) if first == last => first.to_string(),
        Who::Range(first, last) => format!("{first}-{last}"),
        Who::Name(name) => name.clone(),
    }
}

impl Spec for Owner {
    const ROW: Extension = Extension::new(
        "owner",
        Families::Both,
        "Who owns the socket that made a packet.",
    )
    .options(&[
        opt("uid-owner", "USER[-USER]", "the user").not(),
        opt("gid-owner", "GROUP[-GROUP]", "the group").not(),
        flag("socket-exists", "it was made by a socket at all").not(),
        flag(
            "suppl-groups",
            "further groups of the user count for --gid-owner too",
        ),
    ])
    .hooks(&[Hook::Output, Hook::Postrouting])
    .needs(&[Need::Sockets]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let place = |name| l.given.iter().position(|g| g.option.name == name);
        if let Some(at) = place("suppl-groups")
            && place("gid-owner").is_none_or(|group| group > at)
        {
            let bad = Bad::new("--suppl-groups stands behind the --gid-owner that it widens")
                .help("--gid-owner GROUP --suppl-groups")
                .said(
                    "owner: Bad value for \"--suppl-groups\" option: \"you need to use --gid-owner first\"",
                );
            return Err(l.given[at].fault(bad));
        }
        if l.given.is_empty() {
            let bad = Bad::new("'owner' needs --uid-owner, --gid-owner or --socket-exists")
                .said(
                    "owner: At least one of --uid-owner, --gid-owner or --socket-exists is required",
                )
                .missing();
            return Err(l.fault(bad));
        }
        Ok(Owner {
            socket: l.flag("socket-exists"),
            user: l.not("uid-owner", |t| who(t, &USERS))?,
            group: l.not("gid-owner", |t| who(t, &GROUPS))?,
            further_groups: l.has("suppl-groups"),
        })
    }

    fn list(&self, out: &mut Out) {
        if let Some(not) = &self.socket {
            out.bang(not.negated);
            out.word("owner socket exists");
        }
        for (what, not, known) in [
            ("owner UID match", &self.user, &USERS[..]),
            ("owner GID match", &self.group, &GROUPS[..]),
        ] {
            let Some(not) = not else { continue };
            let name = match not.value {
                Who::Range(first, last) if first == last && !out.numeric => {
                    known.iter().find(|(_, id)| *id == first)
                }
                _ => None,
            };
            let shown = name.map_or_else(|| show(&not.value), |(name, _)| (*name).to_string());
            out.bang(not.negated);
            out.word(format_args!("{what} {shown}"));
        }
        if self.further_groups {
            out.word("incl. suppl. groups");
        }
    }

    fn write(&self, out: &mut Out) {
        if let Some(not) = &self.socket {
            out.bang(not.negated);
            out.flag("socket-exists");
        }
        out.maybe("uid-owner", &self.user, show);
        out.maybe("gid-owner", &self.group, show);
        if self.further_groups {
            out.flag("suppl-groups");
        }
    }
}
