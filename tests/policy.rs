//! Rules and policies as the administrator meets them: mistakes with their place, shipped rules with their proofs,
//! coverage of the shipped policies.

mod policy {
    mod authorship;
    mod conditions;
    mod invalid;
    mod judging;
    mod replies;
    mod shipped;
    mod world;
}
