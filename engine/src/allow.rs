//! What an operator allows one run that a guard has stopped: variables of that run, by these names.

use crate::event::Vars;

/// So many deletes.
pub const DELETES: &str = "allowDeletes";
/// So many rejects.
pub const REJECTS: &str = "allowRejects";
/// So many records.
pub const VOLUME: &str = "allowVolume";

/// Takes back what was allowed: another run begins with these variables.
pub(crate) fn take_back(vars: &mut Vars) {
    for name in [DELETES, REJECTS, VOLUME] {
        vars.remove(name);
    }
}
