//! `-j SECMARK`.

use super::prelude::*;

/// `-j SECMARK`: sets a security mark, which SELinux looks at behind the firewall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secmark(pub String);

impl Spec for Secmark {
    const ROW: Extension = Extension::new("SECMARK", Families::Both, "Sets a security mark.")
        .options(&[opt("selctx", "CONTEXT", "context of SELinux").required()])
        .tables(&[TableKind::Mangle, TableKind::Security])
        .needs(&[Need::Host]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        l.need("selctx", read::cut(255)).map(Secmark)
    }

    fn list(&self, out: &mut Out) {
        out.word(format_args!("SECMARK selctx {}", self.0));
    }

    fn write(&self, out: &mut Out) {
        out.opt("selctx", &self.0);
    }
}
