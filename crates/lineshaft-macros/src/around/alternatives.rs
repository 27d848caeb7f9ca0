//! `#[alternatives]`: has the fastest of several implementations do the work of a function.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Error, Expr, ItemFn, LitStr, Path, ReceiverKind, Result, Token, Type};

use super::function::{Argument, Function, mentions};
use super::{key, place};
use crate::forms;
use crate::options::option_of;

const OPTIONS: [&str; 4] = ["key", "verify", "equal", "name"];

#[derive(Default)]
struct Options {
    others: Vec<Path>,
    key: Key,
    verify: Option<TokenStream>,
    equal: Option<Expr>,
    name: Option<LitStr>,
}

/// What calls are told apart by.
#[derive(Default)]
enum Key {
    #[default]
    Sizes,
    Nothing,
    Given(Expr),
}

pub(crate) fn expand(tokens: TokenStream, function: ItemFn) -> Result<TokenStream> {
    // What speaks of `Self` in its options is in an `impl` as well.
    let is_of_type = mentions(&tokens, "Self");
    let options = Options::read(tokens)?;
    let function = Function::new(function);
    options.check(&function)?;
    let of = if is_of_type { quote!(Self) } else { function.owner() };
    let (name, place) = (function.name(), place::of(&function.name()));
    let alternatives = quote!(::lineshaft::around::Alternatives);
    let make = options.make(&function, &of);
    let body = options.body(&function);
    let wrapped = function.with_body(&quote! {
        #place
        let __alternatives = __LINESHAFT_PLACE.get::<#of, #alternatives>(#make);
        #body
    });
    let docs = format!("What is known of the implementations of `{name}`.");
    let found = quote!(#place __LINESHAFT_PLACE.get::<#of, #alternatives>(#make));
    let companion = function.companion("alternatives", &docs, &alternatives, &found);
    Ok(quote!(#wrapped #companion))
}

impl Options {
    fn read(tokens: TokenStream) -> Result<Self> {
        let mut options = Self::default();
        let mut given: Vec<String> = Vec::new();
        let parser = syn::meta::parser(|meta| {
            if !meta.input.peek(Token![=]) && !meta.input.peek(syn::token::Paren) {
                options.others.push(meta.path);
                return Ok(());
            }
            let option = option_of(&meta, "`alternatives`", &OPTIONS)?;
            if given.contains(&option) {
                return Err(meta.error(format!("option `{option}` is given twice")));
            }
            match option.as_str() {
                "key" => {
                    let key = forms::optional_callable(&meta, &option, "|text| text.len() > 50")?;
                    options.key = key.map_or(Key::Nothing, Key::Given);
                }
                "verify" => options.verify = Some(forms::part(&meta, &option)?),
                "equal" => {
                    options.equal =
                        Some(forms::callable(&meta, &option, "fn(first: &T, other: &T) -> bool")?);
                }
                _ => options.name = Some(forms::name(&meta, &option)?),
            }
            given.push(option);
            Ok(())
        });
        parser.parse2(tokens)?;
        Ok(options)
    }

    fn check(&self, function: &Function) -> Result<()> {
        if self.others.is_empty() {
            let message =
                "there is no alternative: `#[alternatives(by_sort)]` names the other implementations";
            return Err(Error::new(Span::call_site(), message));
        }
        if let (Some(equal), None) = (&self.equal, &self.verify) {
            let message =
                "option `equal`: beside it there is `verify`, the part of the calls that are compared";
            return Err(Error::new_spanned(equal, message));
        }
        if let Key::Given(Expr::Closure(closure)) = &self.key {
            key::check_closure("key", closure, function)?;
        }
        if let Some(parameter) = function.generic() {
            let message = "a function with alternatives has no types of its own, since what is fast for one is slow for \
                           another: write one for each type";
            return Err(Error::new_spanned(parameter, message));
        }
        let receiver = function.receiver();
        if let Some(receiver) = receiver.filter(|it| !matches!(it.kind, ReceiverKind::Reference(_, _, None)))
        {
            return Err(Error::new_spanned(
                receiver,
                "argument `self`: a method with alternatives takes `&self`",
            ));
        }
        function.arguments.iter().try_for_each(check_argument)?;
        match function.output() {
            Some(ty) if mentions(ty, "impl") => {
                Err(Error::new_spanned(ty, "implementations return the same type: name it"))
            }
            _ => Ok(()),
        }
    }

    /// What makes the `Alternatives` of a function of the type `of`.
    fn make(&self, function: &Function, of: &TokenStream) -> TokenStream {
        let first = function.name();
        let others = self.others.iter().map(last_name);
        let verify = self.verify.clone().unwrap_or_else(|| quote!(0.0));
        let has_classes = !matches!(self.key, Key::Nothing);
        let name = match &self.name {
            Some(name) => quote!(::std::string::String::from(#name)),
            None if mentions(of, "Self") => {
                quote!(::std::format!("{}::{}", ::core::any::type_name::<#of>(), #first))
            }
            None => {
                quote!(::std::string::String::from(::core::concat!(::core::module_path!(), "::", #first)))
            }
        };
        quote! {
            || ::lineshaft::around::Alternatives::new(#name, &[#first, #(#others),*], #verify, #has_classes)
        }
    }

    fn class(&self, function: &Function) -> TokenStream {
        match &self.key {
            Key::Nothing => quote!(()),
            Key::Given(Expr::Closure(closure)) => key::applied(closure, function),
            Key::Given(path) => {
                let values = key::values(function).into_iter().map(|(value, _)| value);
                quote!((#path)(#(#values),*))
            }
            Key::Sizes => {
                let sizes = function.arguments.iter().map(
                    |Argument { name, .. }| quote!((&::lineshaft::around::private::Argument(&#name)).class()),
                );
                let count = function.arguments.len();
                quote! {{
                    #[allow(unused_imports)]
                    use ::lineshaft::around::private::{Alike as _, BySize as _};
                    let sizes: [::core::option::Option<u32>; #count] = [#(#sizes),*];
                    sizes
                }}
            }
        }
    }

    fn body(&self, function: &Function) -> TokenStream {
        let class = self.class(function);
        let arms = self.others.iter().enumerate().map(|(place, path)| {
            let (number, arm) = (place + 1, self.arm(function, path));
            quote!(#number => { #arm })
        });
        let run = quote!(match __call.number() { #(#arms)* _ => ::core::option::Option::None });
        // After a look that took too long somebody else is to run.
        let run = if function.is_async() { quote!(loop { break #run; }) } else { run };
        let (first, error, is_same) = (function.call(), error(function), self.is_same(function));
        quote! {
            let mut __call = __alternatives.begin(&#class);
            let __other = #run;
            let __first = #first;
            __call.end(__other, __first, #error, #is_same)
        }
    }

    /// Runs another implementation: returns what it gives, or has the first one run too.
    fn arm(&self, function: &Function, path: &Path) -> TokenStream {
        if function.is_async() { arm_async(function, path) } else { self.arm_sync(function, path) }
    }

    fn arm_sync(&self, function: &Function, path: &Path) -> TokenStream {
        let once = function.arguments.iter().map(|argument| argument.name.to_token_stream());
        let (once, again) = (called(function, path, once), called_again(function, path));
        let ty = function.output().map_or_else(|| quote!(()), ToTokens::to_token_stream);
        let alone = quote! {
            let __value: #ty = #once;
            __call.is_doubted(::core::option::Option::None);
            return __value;
        };
        if !function.is_fallible() && self.verify.is_none() {
            return alone;
        }
        // What cannot fail is given its arguments as they are where it is not compared.
        let alone = (!function.is_fallible()).then(|| quote!(if __call.is_alone() { #alone }));
        let doubted = doubted(function);
        quote! {
            #alone
            let __value: #ty = #again;
            #doubted
        }
    }

    /// What compares two results, of which neither is an error.
    fn is_same(&self, function: &Function) -> TokenStream {
        let private = quote!(::lineshaft::around::private);
        let is_same = match &self.equal {
            Some(equal) => quote!(#equal),
            None if self.verify.is_none() => return quote!(|_, _| true),
            None => {
                let span = function.output().map_or_else(Span::call_site, Spanned::span);
                quote_spanned!(span=> ::lineshaft::around::private::is_same)
            }
        };
        if !function.is_fallible() {
            return is_same;
        }
        quote! {
            |first, other| match (first, other) {
                (::core::result::Result::Ok(first), ::core::result::Result::Ok(other)) => {
                    #private::compared(first, other, #is_same)
                }
                _ => true,
            }
        }
    }
}

fn arm_async(function: &Function, path: &Path) -> TokenStream {
    let (again, doubted) = (called_again(function, path), doubted(function));
    quote! {
        let ::core::option::Option::Some(__value) = __call.within(#again).await else { continue };
        #doubted
    }
}

/// Returns `__value`, unless the first one is to run too.
fn doubted(function: &Function) -> TokenStream {
    let error = error(function);
    quote! {
        if !__call.is_doubted((#error)(&__value)) {
            return __value;
        }
        ::core::option::Option::Some(__value)
    }
}

/// Calls another implementation with what the function has, which may be needed once more.
fn called_again(function: &Function, path: &Path) -> TokenStream {
    let given = |Argument { name, ty, .. }: &Argument| {
        if matches!(ty, Type::Reference(_)) {
            quote!(#name)
        } else {
            quote_spanned!(ty.span()=> ::lineshaft::around::private::twice(&#name))
        }
    };
    called(function, path, function.arguments.iter().map(given))
}

fn called(function: &Function, path: &Path, arguments: impl Iterator<Item = TokenStream>) -> TokenStream {
    let this = function.receiver().map(|_| quote!(self));
    let arguments = this.into_iter().chain(arguments);
    quote_spanned!(path.span()=> #path(#(#arguments),*))
}

/// What says which error a result is.
fn error(function: &Function) -> TokenStream {
    let name = if function.is_fallible() { quote!(error_type) } else { quote!(no_error) };
    quote!(::lineshaft::around::private::#name)
}

fn check_argument(argument: &Argument) -> Result<()> {
    let (name, ty) = (&argument.name, &argument.ty);
    let problem = if argument.is_borrowed_mutably() {
        "implementations may be called twice with it, and must not change it: take `&` or a value"
    } else if mentions(ty, "impl") {
        "a function with alternatives has no types of its own: name it"
    } else {
        return Ok(());
    };
    Err(Error::new_spanned(ty, format!("argument `{name}`: {problem}")))
}

fn last_name(path: &Path) -> String {
    let name = path.segments.last().map_or_else(String::new, |last| last.ident.to_string());
    name.strip_prefix("r#").unwrap_or(&name).to_owned()
}
