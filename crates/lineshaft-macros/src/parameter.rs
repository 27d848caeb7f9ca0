//! The parameters of a task's function.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, FnArg, Ident, Meta, Pat, PatType, Result, Type};

/// A parameter that the caller gives a value for.
pub(crate) struct Parameter {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    default: Option<Expr>,
}

/// The parameters of a function, and whether a context comes first. Takes the attributes of this crate from them.
pub(crate) fn read<'a>(inputs: impl Iterator<Item = &'a mut FnArg>) -> Result<(bool, Vec<Parameter>)> {
    let mut has_context = false;
    let mut parameters = Vec::new();
    for (index, input) in inputs.enumerate() {
        let input = match input {
            FnArg::Typed(input) => input,
            FnArg::Receiver(receiver) => {
                return Err(Error::new_spanned(receiver, "a task is a function, not a method"));
            }
        };
        if is_context(&input.ty) {
            check_context(input, index)?;
            has_context = true;
        } else {
            parameters.push(Parameter::read(input)?);
        }
    }
    Ok((has_context, parameters))
}

/// The types of the arguments that a call cannot leave out, and of the first one in any case.
pub(crate) fn needed(parameters: &[Parameter]) -> impl Iterator<Item = &Type> {
    let needed = parameters.iter().enumerate().filter(|(index, it)| *index == 0 || !it.may_be_left_out());
    needed.map(|(_, parameter)| &parameter.ty)
}

impl Parameter {
    fn read(input: &mut PatType) -> Result<Self> {
        let Pat::Ident(pattern) = &*input.pat else {
            return Err(Error::new_spanned(&input.pat, "an argument of a task has a plain name"));
        };
        let name = pattern.ident.clone();
        let ty = (*input.ty).clone();
        check_type(&name, &ty)?;
        Ok(Self { name, ty, default: take_default(&mut input.attrs)? })
    }

    /// Reads its argument: `bound` is the call, `index` its place.
    pub(crate) fn bind(&self, index: usize) -> TokenStream {
        let ty = &self.ty;
        match &self.default {
            Some(default) => quote!(match bound.optional::<#ty>(#index)? {
                ::core::option::Option::Some(value) => value,
                ::core::option::Option::None => #default,
            }),
            None if is_option(ty) => quote!(bound.optional::<#ty>(#index)?.flatten()),
            None => quote!(bound.required::<#ty>(#index)?),
        }
    }

    pub(crate) fn may_be_left_out(&self) -> bool {
        self.default.is_some() || is_option(&self.ty)
    }

    /// Fails to compile, at the parameter's type, if it cannot be an argument.
    pub(crate) fn assertion(&self) -> TokenStream {
        let ty = &self.ty;
        quote_spanned!(ty.span()=> const _: () = ::lineshaft::task::private::assert_argument::<#ty>();)
    }
}

fn check_type(name: &Ident, ty: &Type) -> Result<()> {
    let message = match ty {
        Type::Reference(reference) => {
            let owned = owned(&reference.elem);
            format!("argument `{name}`: a task owns its arguments; take `{owned}`")
        }
        Type::ImplTrait(_) => format!("argument `{name}`: a worker has to know its type; name it"),
        _ => return Ok(()),
    };
    Err(Error::new_spanned(ty, message))
}

/// What to take in place of a reference.
fn owned(ty: &Type) -> String {
    match ty {
        Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
        Type::Path(path) if path.path.is_ident("Path") => "PathBuf".to_owned(),
        Type::Slice(slice) => {
            let element = &slice.elem;
            format!("Vec<{}>", quote!(#element))
        }
        other => quote!(#other).to_string(),
    }
}

fn is_context(ty: &Type) -> bool {
    match ty {
        Type::Reference(reference) => is_context(&reference.elem),
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "Context"),
        _ => false,
    }
}

fn check_context(input: &PatType, index: usize) -> Result<()> {
    let is_shared = matches!(&*input.ty, Type::Reference(reference) if reference.mutability.is_none());
    if index > 0 {
        return Err(Error::new_spanned(
            input,
            "the context of a task is its first parameter: `ctx: &Context`",
        ));
    }
    if !is_shared {
        return Err(Error::new_spanned(&input.ty, "the context of a task is a reference: `ctx: &Context`"));
    }
    Ok(())
}

/// Whether the argument may be left out and is `None` then.
fn is_option(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "Option")
}

/// Takes `#[default = expression]` from the attributes.
fn take_default(attributes: &mut Vec<Attribute>) -> Result<Option<Expr>> {
    let mut default = None;
    let mut wrong = None;
    attributes.retain(|attribute| {
        if !attribute.path().is_ident("default") {
            return true;
        }
        match &attribute.meta {
            Meta::NameValue(pair) => default = Some(pair.value.clone()),
            other => wrong = Some(Error::new_spanned(other, "write `#[default = expression]`")),
        }
        false
    });
    wrong.map_or(Ok(default), Err)
}
