//! What every connector promises, in one list that each of them passes.
//!
//! A connector joins by a file that says how its stand-in is set up and troubled, and by its name in the last line here.
#![expect(clippy::unwrap_used, reason = "test code")]

mod dynamics;
mod feed;
mod reading;
mod salesforce;
mod stand;
mod writing;

/// The list: each promise, and with how many records the stand-in begins.
macro_rules! contract {
    ($system:ident) => {
        contract! { $system:
            reading::every_record_comes_once_whatever_the_order_and_wherever_the_reading_goes_on(0),
            reading::equal_times_at_the_border_of_a_page_neither_hide_nor_repeat_a_record(0),
            reading::a_record_changed_or_deleted_between_pages_takes_no_other_with_it(0),
            reading::records_come_by_their_ids_once_and_those_that_are_not_there_are_missing(0),
            reading::parts_read_side_by_side_are_the_whole(60_000),
            reading::a_window_has_its_first_instant_and_not_the_one_after_its_last(0),
            reading::deletions_of_a_period_are_told_once_with_both_its_ends(0),
            feed::a_feed_brings_everything_once_then_each_change_and_deletion_once(0),
            feed::a_feed_goes_on_after_any_of_its_pages(0),
            feed::what_changes_while_a_feed_is_read_comes_in_that_reading_or_in_the_next(0),
            feed::two_readings_of_a_feed_within_a_moment_bring_nothing_twice(0),
            feed::a_place_that_the_system_has_forgotten_is_lost_and_never_a_full_reading(0),
            reading::incremental_deletions_go_on_where_the_last_ones_ended(0),
            reading::a_busy_system_and_a_token_that_ends_cost_time_only(0),
            reading::one_record_has_one_key(0),
            writing::every_operation_tells_what_it_did_by_every_method(0),
            writing::a_bad_record_is_refused_alone_and_says_why(0),
            writing::a_lost_reply_writes_nothing_twice(0),
            writing::an_insert_without_an_id_of_ours_is_not_sent_twice(0),
            writing::what_is_deleted_or_was_never_there_is_told(0),
            writing::a_busy_system_takes_every_record_once(0),
            writing::values_come_back_as_they_were_sent(0),
        }
    };
    ($system:ident: $($part:ident::$promise:ident($records:expr)),+ $(,)?) => {
        mod $system {
            $(#[tokio::test]
            async fn $promise() {
                crate::$part::$promise(&crate::$system::start($records)).await;
            })+
        }
    };
}

/// Every connector stands here once.
mod promises {
    contract!(dynamics);
    contract!(salesforce);
}
