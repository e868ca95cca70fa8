//! The manual in the program: `campanile help`.

use crate::world::World;

#[test]
fn help_shows_pages_commands_types_and_problems_and_suggests() {
    let world = World::new(0);
    let help = |topic: &[&str]| world.ask(&[&["help"], topic].concat());
    let list = help(&[]).expect(0).out;
    assert!(
        list.contains("Usage: campanile") && list.contains("first-workflow") && list.contains("unattended"),
        "{list}"
    );
    let page = help(&["first-workflow"]).expect(0).out;
    assert!(page.starts_with("A first workflow\n") && page.contains("    campanile accounts test\n"), "{page}");
    assert!(page.lines().all(|line| line.starts_with("    ") || line.chars().count() <= 80), "{page}");
    assert!(help(&["options", "set"]).expect(0).out.contains("Usage: campanile options set"));
    assert!(help(&["crm.import"]).expect(0).out.starts_with("crm.import\n"));
    assert!(help(&["unknown-key"]).expect(0).out.contains("Fix: "));
    assert!(help(&["import"]).expect(0).out.starts_with("Import\n"));
    help(&["improt"]).expect(2).says(&["there is no help on \"improt\"", "did you mean `campanile help import`?"]);
    help(&["zzzzzzzz"]).expect(2).says(&["`campanile help` lists all topics"]);
}
