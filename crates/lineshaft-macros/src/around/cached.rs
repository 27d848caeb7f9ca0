//! `#[cached]`: keeps the results of a function.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprClosure, ItemFn, Result, ReturnType};

use super::function::Function;
use super::key::{self, Part};
use super::{options, place};
use crate::forms;

const OPTIONS: [&str; 7] = ["ttl", "idle", "max", "policy", "tags", "negative", "key"];
const POLICIES: [(&str, &str); 4] =
    [("s3fifo", "S3Fifo"), ("lru", "Lru"), ("sieve", "Sieve"), ("lfu", "WTinyLfu")];

#[derive(Default)]
struct Options {
    /// Fields of `Settings` with their values.
    settings: Vec<TokenStream>,
    tags: Option<Expr>,
    key: Option<ExprClosure>,
    /// Where that is given.
    negative: Option<Span>,
}

pub(crate) fn expand(tokens: TokenStream, function: ItemFn) -> Result<TokenStream> {
    let mut options = Options::default();
    options::read(tokens, "`cached`", &OPTIONS, |option, meta| options.take(option, meta))?;
    let function = Function::new(function);
    key::check(&function)?;
    options.check(&function)?;
    let parts = if options.key.is_some() { Vec::new() } else { key::parts(&function)? };
    let key = options.key_type(&parts);
    let kept = function.output().map_or_else(|| quote!(()), |ty| quote!(#ty));
    let cached = quote!(::lineshaft::around::Cached<#key, #kept>);
    let (name, place) = (function.name(), place::of(&function.name()));
    let (make, of) = (options.make(&cached), function.owner());
    let body = options.body(&function, &parts, &key);
    let wrapped = function.with_body(&quote! {
        #place
        let __cached = __LINESHAFT_PLACE.get::<#of, #cached>(#make);
        #body
    });
    let docs = format!("What is kept of the results of `{name}`.");
    let companion = function.companion(
        "cache",
        &docs,
        &cached,
        &quote!(#place __LINESHAFT_PLACE.get::<#of, #cached>(#make)),
    );
    Ok(quote!(#wrapped #companion))
}

impl Options {
    fn take(&mut self, option: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match option {
            "ttl" => self.set("ttl_ms", life(meta, option)?),
            "idle" => self.set("idle_ms", life(meta, option)?),
            "negative" => {
                self.negative = Some(meta.path.span());
                self.set("negative_ms", life(meta, option)?);
            }
            "max" => self.set("max", forms::optional_number(meta, option, 0, u32::MAX - 1)?),
            "policy" => {
                let words = POLICIES.map(|(word, _)| word);
                let policy = format_ident!("{}", POLICIES[forms::one_of(meta, option, &words)?].1);
                self.set("policy", quote!(::lineshaft::around::private::PolicyKind::#policy));
            }
            "tags" => self.tags = Some(forms::tags_or_closure(meta, option)?),
            _ => self.key = Some(forms::typed_closure(meta, option)?),
        }
        Ok(())
    }

    fn set(&mut self, field: &str, value: TokenStream) {
        let field = format_ident!("{field}");
        self.settings.push(quote!(#field: #value));
    }

    fn check(&self, function: &Function) -> Result<()> {
        if let Some(closure) = &self.key {
            key::check_closure("key", closure, function)?;
        }
        if let Some(Expr::Closure(closure)) = &self.tags {
            key::check_closure("tags", closure, function)?;
        }
        match self.negative.filter(|_| !function.is_fallible()) {
            Some(span) => Err(Error::new(
                span,
                "option `negative`: the function returns no `Result`, so that there are no errors to keep",
            )),
            None => Ok(()),
        }
    }

    /// What makes the cache.
    fn make(&self, cached: &TokenStream) -> TokenStream {
        let settings = &self.settings;
        quote! {
            || {
                const SETTINGS: ::lineshaft::around::private::Settings = ::lineshaft::around::private::Settings {
                    #(#settings,)*
                    ..::lineshaft::around::private::Settings::DEFAULT
                };
                <#cached>::new(SETTINGS)
            }
        }
    }

    fn key_type(&self, parts: &[Part]) -> TokenStream {
        match &self.key {
            Some(ExprClosure { output: ReturnType::Type(_, ty), .. }) => quote!(#ty),
            _ => key::owned(parts),
        }
    }

    fn body(&self, function: &Function, parts: &[Part], key: &TokenStream) -> TokenStream {
        let assertions = key::assertions(parts, self.key.is_some().then_some(key), function.output());
        let look_up = match &self.key {
            Some(closure) => {
                let made = key::applied(closure, function);
                (
                    quote!(let __key: #key = #made;),
                    quote!(&__key, |__other: &#key| *__other == __key, || ::core::clone::Clone::clone(&__key)),
                )
            }
            None => {
                let (query, is_it, own) = (key::query(parts), key::comparison(parts), key::making(parts));
                (TokenStream::new(), quote!(#query, #is_it, #own))
            }
        };
        let (made, look_up) = look_up;
        let tags = match &self.tags {
            Some(Expr::Closure(closure)) => key::applied(closure, function),
            Some(list) => quote!(#list),
            None => quote!([""; 0]),
        };
        let tags = quote!(|| ::lineshaft::around::private::texts(#tags));
        let is_error =
            if function.is_fallible() { quote!(::core::result::Result::is_err) } else { quote!(|_| false) };
        let work = function.work();
        let (ticket, compute) = if function.is_async() {
            (quote!(ticket_async(#look_up, #tags).await), quote!(compute_async(#work, #is_error).await))
        } else {
            (quote!(ticket(#look_up, #tags)), quote!(compute(#work, #is_error)))
        };
        quote! {
            #assertions
            #made
            let __found = __cached.#ticket;
            match __found {
                ::core::result::Result::Ok(value) => value,
                ::core::result::Result::Err(__ticket) => __ticket.#compute,
            }
        }
    }
}

/// The milliseconds of a duration.
fn life(meta: &ParseNestedMeta<'_>, option: &str) -> Result<TokenStream> {
    let duration = forms::duration(meta, option)?;
    let span = duration.span();
    Ok(quote_spanned!(span=> ::core::option::Option::Some(::lineshaft::around::private::life(#duration))))
}
