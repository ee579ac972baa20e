//! The macro behind `warmstart_language::message!`. It takes what `format!` takes, and looks the literal up in the
//! catalogue first.

mod placeholders;

use proc_macro::TokenStream;
use proc_macro2::Span;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, Ident, LitStr, Token, parse_macro_input};

use placeholders::{Name, placeholders};

/// The arguments of `message!`: those of `format!`.
struct Message {
    english: LitStr,
    arguments: Punctuated<Argument, Token![,]>,
}

/// `value` or `name = value`.
struct Argument {
    name: Option<Ident>,
    value: Expr,
}

impl Parse for Message {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let english = input.parse()?;
        let arguments = if input.is_empty() {
            Punctuated::new()
        } else {
            input.parse::<Token![,]>()?;
            Punctuated::parse_terminated(input)?
        };
        Ok(Self { english, arguments })
    }
}

impl Parse for Argument {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let is_named = input.peek(Ident) && input.peek2(Token![=]) && !input.peek2(Token![==]);
        let name = if is_named {
            let name = input.parse()?;
            input.parse::<Token![=]>()?;
            Some(name)
        } else {
            None
        };
        Ok(Self {
            name,
            value: input.parse()?,
        })
    }
}

/// A message in the user's language, as a `String`: `message!("{path}: {count} images", count = images.len())`.
///
/// English is the literal itself, so the compiler checks its arguments as it checks those of `format!`. Another
/// language is looked up in its catalogue by that literal.
#[proc_macro]
pub fn message(input: TokenStream) -> TokenStream {
    let message = parse_macro_input!(input as Message);
    let english = &message.english;
    let in_english: Vec<_> = message
        .arguments
        .iter()
        .map(|Argument { name, value }| match name {
            Some(name) => quote!(#name = #value),
            None => quote!(#value),
        })
        .collect();
    let values = placeholders(&english.value()).into_iter().map(|found| {
        let argument = match &found.name {
            Name::Position(position) => message.arguments.get(*position),
            Name::Word(word) => message
                .arguments
                .iter()
                .find(|argument| argument.name.as_ref().is_some_and(|name| name == word)),
        };
        let value = match (argument, &found.name) {
            (Some(Argument { value, .. }), _) => quote!(#value),
            (None, Name::Word(word)) => {
                let variable = Ident::new(word, english.span());
                quote!(#variable)
            }
            // `format!` has a better message for it.
            (None, Name::Position(_)) => quote!(""),
        };
        let (key, format) = (&found.key, LitStr::new(&found.format, english.span()));
        quote!((#key, ::std::format!(#format, #value)))
    });
    let in_english = if english.value().contains(['{', '}']) || !in_english.is_empty() {
        quote!(::std::format!(#english, #(#in_english),*))
    } else {
        quote!(::std::string::String::from(#english))
    };
    // A name that the arguments cannot mean.
    let text = Ident::new("text", Span::mixed_site());
    quote! {
        match ::warmstart_language::translation(#english) {
            ::std::option::Option::None => #in_english,
            ::std::option::Option::Some(#text) => {
                ::warmstart_language::filled(#text, &[#(#values),*])
            }
        }
    }
    .into()
}
