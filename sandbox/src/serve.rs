//! `sandbox serve`: the page, the API, CloudFront's model and a stand-in for managed login on this
//! machine, with the real functions behind them and a live list of what happens.

mod accounts;
pub mod command;
mod endpoints;
mod feed;
mod grants;
mod login;
mod login_pages;
mod requests;
pub mod router;
mod second_user;
pub mod world;
