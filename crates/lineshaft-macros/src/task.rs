//! `#[task]`: the function, and a type of the same name that calls and runs it.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, ItemFn, Result, ReturnType, Signature, Type};

use crate::options::Options;
use crate::parameter::{self, Parameter};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options)?;
    let mut function: ItemFn = syn::parse2(item)?;
    check(&function.sig)?;
    let (has_context, parameters) = parameter::read(function.sig.inputs.iter_mut())?;
    options.check(&parameters)?;
    let task = Declared { options, function: &function, has_context, parameters: &parameters };
    let companion = task.companion();
    Ok(quote!(#function #companion))
}

fn check(signature: &Signature) -> Result<()> {
    let refuse = |tokens: &dyn quote::ToTokens, message| Err(Error::new_spanned(tokens, message));
    let generics = &signature.generics;
    if !generics.params.is_empty() {
        return refuse(generics, "a task cannot be generic: a worker has to know its types");
    }
    if let Some(token) = &signature.constness {
        return refuse(token, "a task cannot be `const`");
    }
    if let Some(abi) = &signature.abi {
        return refuse(abi, "a task is a function of Rust");
    }
    if let Some(variadic) = &signature.variadic {
        return refuse(variadic, "a task has a fixed number of arguments");
    }
    if !matches!(signature.safety, syn::Safety::Default) {
        return refuse(&signature.fn_token, "a task cannot be `unsafe`");
    }
    Ok(())
}

struct Declared<'a> {
    options: Options,
    function: &'a ItemFn,
    has_context: bool,
    parameters: &'a [Parameter],
}

impl Declared<'_> {
    fn companion(&self) -> TokenStream {
        let signature = &self.function.sig;
        let (visibility, ident) = (&self.function.vis, &signature.ident);
        let (name, defaults) = (self.name(), self.options.defaults());
        let run = if signature.asyncness.is_some() { quote!(Async) } else { quote!(Blocking) };
        let (call, body, assertions) = (self.call(), self.body(), self.assertions());
        let parameters = self.parameters.iter().map(|parameter| parameter.name.to_string());
        let needed = parameter::needed(self.parameters);
        let signature = self.signature();
        let docs = format!("The task `{ident}`: its declaration for workers, and calls of it for clients.");
        quote! {
            #[doc = #docs]
            #[allow(non_camel_case_types)]
            #visibility enum #ident {}

            #[allow(dead_code, clippy::all, clippy::pedantic)]
            impl #ident {
                /// The task, for a worker.
                pub const TASK: ::lineshaft::task::Task = ::lineshaft::task::Task::declare(
                    #name,
                    ::lineshaft::task::private::Run::#run(Self::__run),
                    &[#(#parameters),*],
                    &#signature,
                    Self::__DEFAULTS,
                );

                const __DEFAULTS: &'static ::lineshaft::task::private::Defaults = &#defaults;

                #call

                /// What makes jobs of this task of those that give up: a value of the option `on_failure`. The task takes
                /// one argument, the failed job.
                pub const fn handler<A>() -> ::lineshaft::task::Handler<'static>
                where
                    Self: ::lineshaft::task::private::Takes<(A,)>,
                    A: ::lineshaft::task::private::FailedJob,
                {
                    const { ::lineshaft::task::Handler::declared(Self::TASK) }
                }

                #body
            }

            impl ::lineshaft::task::private::Takes<(#(#needed,)*)> for #ident {}

            ::lineshaft::task::private::inventory::submit!(::lineshaft::task::private::Registered(#ident::TASK));

            #assertions
        }
    }

    /// The text of its types.
    fn signature(&self) -> TokenStream {
        let parameters = self.parameters.iter().map(|parameter| {
            let (ty, may_be_left_out) = (&parameter.ty, parameter.may_be_left_out());
            let text = quote!(#ty).to_string();
            quote!((#text, #may_be_left_out))
        });
        let result = match &self.function.sig.output {
            ReturnType::Default => "()".to_owned(),
            ReturnType::Type(_, ty) => {
                succeeds_with(ty).map_or_else(|| quote!(#ty).to_string(), |it| quote!(#it).to_string())
            }
        };
        quote! {
            ::lineshaft::task::private::Signature { parameters: &[#(#parameters),*], result: #result }
        }
    }

    fn name(&self) -> TokenStream {
        match &self.options.name {
            Some(name) => quote!(#name),
            None => {
                let ident = self.function.sig.ident.to_string();
                quote!(::core::concat!(::core::module_path!(), "::", #ident))
            }
        }
    }

    /// `call(…)`, with the parameters of the function.
    fn call(&self) -> TokenStream {
        let names = self.parameters.iter().map(|parameter| &parameter.name).collect::<Vec<_>>();
        let types = self.parameters.iter().map(|parameter| &parameter.ty);
        let texts = names.iter().map(ToString::to_string);
        let output = self.output();
        quote! {
            /// A call of the task, to be enqueued by a client.
            pub fn call(#(#names: #types),*) -> ::lineshaft::task::Call<#output> {
                ::lineshaft::task::Call::of(&Self::TASK)#(.named_arg(#texts, &#names))*
            }
        }
    }

    /// What runs the function for a worker.
    fn body(&self) -> TokenStream {
        let signature = &self.function.sig;
        let ident = &signature.ident;
        let texts = self.parameters.iter().map(|parameter| parameter.name.to_string());
        let binds = self.parameters.iter().enumerate().map(|(index, parameter)| parameter.bind(index));
        let types = self.parameters.iter().map(|parameter| &parameter.ty);
        let places: Vec<_> = (0..self.parameters.len()).map(syn::Index::from).collect();
        let is_async = signature.asyncness.is_some();
        // A coroutine owns its context.
        let context = self.has_context.then(|| if is_async { quote!(&context,) } else { quote!(context,) });
        // What calls the function has a name by which the end of a traceback is known.
        let result = if is_async {
            quote!({
                let mut body = ::core::pin::pin!(#ident(#context #(arguments.#places),*));
                ::core::future::poll_fn(|polling| {
                    ::lineshaft::task::private::__lineshaft_task_body(body.as_mut(), polling)
                })
                .await
            })
        } else {
            quote!(__lineshaft_task_body(context, arguments))
        };
        let caller = (!is_async).then(|| {
            let (output, context) = (&signature.output, self.has_context.then(|| quote!(context,)));
            let types = types.clone();
            quote! {
                #[inline(never)]
                #[allow(unused_variables)]
                fn __lineshaft_task_body(
                    context: &::lineshaft::task::Context,
                    arguments: (#(#types,)*),
                ) #output {
                    let returned = #ident(#context #(arguments.#places),*);
                    ::core::hint::black_box(());
                    returned
                }
            }
        });
        let result = if is_result(&signature.output) {
            let span = signature.output.span();
            let some = quote!(::core::option::Option::Some(#result));
            let returned = quote!(::lineshaft::task::private::Returned(::core::cell::Cell::new(#some)));
            quote_spanned!(span=> {
                #[allow(unused_imports)]
                use ::lineshaft::task::private::{FromAny as _, FromError as _};
                (&&#returned).into_result()
            })
        } else {
            quote!(::core::result::Result::Ok(#result))
        };
        let context = if is_async { quote!(&context) } else { quote!(context) };
        let steps = quote! {
            match Self::__bind(&payload) {
                ::core::result::Result::Ok(arguments) => {
                    let result = #result;
                    ::lineshaft::task::private::finish(&Self::TASK, #context, result)
                }
                ::core::result::Result::Err(error) => ::lineshaft::task::private::undecodable(&error),
            }
        };
        let run = Self::run(is_async, &quote!(#caller #steps));
        quote! {
            #run

            #[allow(unused_variables)]
            fn __bind(
                payload: &[u8],
            ) -> ::core::result::Result<(#(#types,)*), ::lineshaft::task::private::ValueError> {
                let arguments = ::lineshaft::task::private::Arguments::open(payload)?;
                let payload = arguments.payload()?;
                let bound = ::lineshaft::task::private::Bound::new(
                    Self::TASK.name(),
                    Self::TASK.version(),
                    &[#(#texts),*],
                    &payload,
                )?;
                ::core::result::Result::Ok((#(#binds,)*))
            }
        }
    }

    /// What a worker calls; of an `async fn` all that it is given moves into the coroutine.
    fn run(is_async: bool, steps: &TokenStream) -> TokenStream {
        if is_async {
            return quote! {
                fn __run(
                    context: ::lineshaft::task::Context,
                    payload: ::lineshaft::task::private::Bytes,
                ) -> ::lineshaft::task::private::Running {
                    ::std::boxed::Box::pin(async move { #steps })
                }
            };
        }
        quote! {
            fn __run(
                context: &::lineshaft::task::Context,
                payload: &[u8],
            ) -> ::lineshaft::task::private::Outcome {
                #steps
            }
        }
    }

    /// Fails to compile at the types that cannot cross.
    fn assertions(&self) -> TokenStream {
        let arguments = self.parameters.iter().map(Parameter::assertion);
        let output = self.output();
        let span = self.function.sig.output.span();
        let result =
            quote_spanned!(span=> const _: () = ::lineshaft::task::private::assert_result::<#output>(););
        let ident = &self.function.sig.ident;
        // Nobody else may look at it while the program is compiled.
        let defaults = quote!(const _: &::lineshaft::task::private::Defaults = #ident::__DEFAULTS;);
        quote!(#(#arguments)* #result #defaults)
    }

    /// What the task gives if it succeeds.
    fn output(&self) -> TokenStream {
        match &self.function.sig.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, ty) if is_result(&self.function.sig.output) => {
                quote_spanned!(ty.span()=> <#ty as ::lineshaft::task::TaskResult>::Output)
            }
            ReturnType::Type(_, ty) => quote!(#ty),
        }
    }
}

/// The first type in the angle brackets of a `Result`; `None` of other types.
fn succeeds_with(ty: &syn::Type) -> Option<&syn::Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Result")?;
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        syn::GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// Whether a function returns a `Result`, or an alias of it.
fn is_result(output: &ReturnType) -> bool {
    let ReturnType::Type(_, ty) = output else { return false };
    let Type::Path(path) = &**ty else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "Result")
}
