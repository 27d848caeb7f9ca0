//! A function that something is put around.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{FnArg, GenericParam, Ident, ItemFn, Pat, Receiver, ReturnType, Stmt, Type};

/// A function whose arguments have names in its signature, and whose body is apart from it.
pub(crate) struct Function {
    item: ItemFn,
    pub(crate) arguments: Vec<Argument>,
    body: Vec<Stmt>,
}

/// What a caller gives, but for `self`.
pub(crate) struct Argument {
    /// Its name in the signature: one that is made up where the function takes it apart.
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    /// What the function writes in the place of a name, if it is not the name alone.
    pattern: Option<Pat>,
}

impl Function {
    pub(crate) fn new(mut item: ItemFn) -> Self {
        let inputs = item.sig.inputs.iter_mut().filter_map(|input| match input {
            FnArg::Typed(input) => Some(input),
            FnArg::Receiver(_) => None,
        });
        let arguments = inputs.enumerate().map(|(place, input)| Argument::of(place, input)).collect();
        let body = std::mem::take(&mut item.block.stmts);
        Self { item, arguments, body }
    }

    pub(crate) fn name(&self) -> String {
        let name = self.item.sig.ident.to_string();
        name.strip_prefix("r#").unwrap_or(&name).to_owned()
    }

    pub(crate) fn receiver(&self) -> Option<&Receiver> {
        self.item.sig.receiver()
    }

    pub(crate) fn is_async(&self) -> bool {
        self.item.sig.asyncness.is_some()
    }

    /// What it returns, and where that is written.
    pub(crate) fn output(&self) -> Option<&Type> {
        match &self.item.sig.output {
            ReturnType::Default => None,
            ReturnType::Type(_, ty) => Some(ty),
        }
    }

    /// Whether it returns a `Result`, or an alias of it.
    pub(crate) fn is_fallible(&self) -> bool {
        let Some(Type::Path(path)) = self.output() else { return false };
        path.path.segments.last().is_some_and(|last| last.ident == "Result")
    }

    /// The type that it is a function of; `()` if it does not say so.
    pub(crate) fn owner(&self) -> TokenStream {
        let signature = &self.item.sig;
        if self.receiver().is_some() || mentions(signature, "Self") { quote!(Self) } else { quote!(()) }
    }

    /// A parameter that is a type or a constant.
    pub(crate) fn generic(&self) -> Option<&GenericParam> {
        let mut parameters = self.item.sig.generics.params.iter();
        parameters.find(|parameter| !matches!(parameter, GenericParam::Lifetime(_)))
    }

    /// An expression that does once what the function did, and is what it returned.
    pub(crate) fn call(&self) -> TokenStream {
        self.called(&self.work())
    }

    /// A closure, or a future, that does once what the function did. `self` and the arguments move into it, these under
    /// the names of the signature.
    pub(crate) fn work(&self) -> TokenStream {
        let bindings = self.arguments.iter().map(|argument| argument.bind(&argument.name));
        self.around(&quote!(move), &quote!(#(#bindings)*))
    }

    /// What the function did, to stand in its own body.
    pub(crate) fn body(&self) -> TokenStream {
        let bindings = self.arguments.iter().map(|argument| argument.bind(&argument.name));
        let body = &self.body;
        quote!(#(#bindings)* #(#body)*)
    }

    /// As [`Self::call`], but it only borrows `self`, and of the arguments takes those that `owned` has names for.
    pub(crate) fn call_again(&self, owned: &[Ident]) -> TokenStream {
        let pairs = self.arguments.iter().zip(owned);
        let bindings = pairs.map(|(argument, owned)| argument.bind_again(owned));
        self.called(&self.around(&TokenStream::new(), &quote!(#(#bindings)*)))
    }

    /// The function with another body.
    pub(crate) fn with_body(&self, body: &TokenStream) -> TokenStream {
        let mut item = self.item.clone();
        item.block.stmts = vec![Stmt::Expr(syn::Expr::Verbatim(body.clone()), None)];
        quote!(#item)
    }

    /// A function beside it, of the name `fib_cache` for a function `fib` and the word `cache`, which gives `ty`.
    pub(crate) fn companion(
        &self,
        word: &str,
        docs: &str,
        ty: &TokenStream,
        body: &TokenStream,
    ) -> TokenStream {
        let visibility = &self.item.vis;
        let name = format_ident!("{}_{word}", self.item.sig.ident);
        let conditions = self.item.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg"));
        quote! {
            #[doc = #docs]
            #[allow(dead_code, clippy::pedantic)]
            #(#conditions)*
            #visibility fn #name() -> &'static #ty { #body }
        }
    }

    fn called(&self, work: &TokenStream) -> TokenStream {
        if self.is_async() { quote!(#work.await) } else { quote!(::lineshaft::around::private::call(#work)) }
    }

    fn around(&self, capture: &TokenStream, bindings: &TokenStream) -> TokenStream {
        let body = &self.body;
        // A type with `impl` in it cannot be written here; without it the compiler has to see by itself what it is.
        let output = self.output().filter(|ty| !mentions(ty, "impl"));
        if !self.is_async() {
            let output = match (output, self.output()) {
                (Some(ty), _) => quote!(-> #ty),
                (None, None) => quote!(-> ()),
                (None, Some(_)) => TokenStream::new(),
            };
            let block = quote!({ #bindings #(#body)* });
            let block = if output.is_empty() { block } else { quote!(#output #block) };
            return quote!(#capture || #block);
        }
        // Never run: it tells the compiler what `?` and `return` give.
        let returned = output.map(|ty| {
            quote_spanned! {ty.span()=>
                #[allow(
                    unreachable_code,
                    clippy::diverging_sub_expression,
                    clippy::empty_loop,
                    clippy::let_unit_value,
                    clippy::let_with_type_underscore,
                    clippy::needless_return,
                    unused_variables
                )]
                if false {
                    let returned: #ty = loop {};
                    return returned;
                }
            }
        });
        quote!(async #capture { #returned #bindings #(#body)* })
    }
}

impl Argument {
    fn of(place: usize, input: &mut syn::PatType) -> Self {
        let ty = (*input.ty).clone();
        let plain = match &*input.pat {
            Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => Some(pat.clone()),
            _ => None,
        };
        let mut name =
            plain.as_ref().map_or_else(|| format_ident!("__argument_{place}"), |pat| pat.ident.clone());
        let is_name = plain.is_some_and(|pat| pat.mutability.is_none());
        let pattern = (!is_name).then(|| (*input.pat).clone());
        *input.pat = syn::parse_quote!(#name);
        if name.to_string().starts_with('_') {
            // What uses it is not the user's: no lint is to ask why.
            name.set_span(proc_macro2::Span::call_site());
        }
        Self { name, ty, pattern }
    }

    /// Whether it is a `&mut`.
    pub(crate) fn is_borrowed_mutably(&self) -> bool {
        matches!(&self.ty, Type::Reference(reference) if reference.mutability.is_some())
    }

    /// Gives the function `value` as it wants its argument.
    fn bind(&self, value: &Ident) -> Option<TokenStream> {
        self.pattern.as_ref().map(|pattern| quote!(let #pattern = #value;))
    }

    fn bind_again(&self, value: &Ident) -> TokenStream {
        let name = &self.name;
        self.bind(value).unwrap_or_else(|| quote!(let #name = #value;))
    }
}

/// Whether a word is anywhere in `tokens`.
pub(crate) fn mentions(tokens: &impl quote::ToTokens, word: &str) -> bool {
    fn looked_through(tokens: TokenStream, word: &str) -> bool {
        tokens.into_iter().any(|token| match token {
            proc_macro2::TokenTree::Ident(ident) => ident == word,
            proc_macro2::TokenTree::Group(group) => looked_through(group.stream(), word),
            _ => false,
        })
    }
    looked_through(tokens.to_token_stream(), word)
}
