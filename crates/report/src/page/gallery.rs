//! Pictures on the page, each of which is in the file once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, PreEscaped, html};
use warmstart_workflows::report::{PictureId, Pictures};

/// The pictures as a text that the page's script reads: the name and the address of each.
pub fn data(pictures: &Pictures) -> Markup {
    let entry = |picture: &warmstart_workflows::report::Picture| {
        let address = match picture.jpeg.as_slice() {
            [] => String::new(),
            jpeg => format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)),
        };
        [picture.name.clone(), address]
    };
    let entries: Vec<[String; 2]> = pictures.iter().map(entry).collect();
    let text = serde_json::to_string(&entries).expect("texts");
    // A name cannot end the element.
    let text = text.replace('<', "\\u003c");
    html! { script type="application/json" id="pictures" { (PreEscaped(text)) } }
}

/// A picture and the lines below it.
pub fn picture(id: PictureId, class: &str, pictures: &Pictures, caption: &Markup) -> Markup {
    let size = pictures
        .iter()
        .nth(id.0)
        .map_or([0, 0], |picture| picture.size);
    html! {
        figure class={ "picture " (class) } {
            img data-picture=(id.0) width=(size[0]) height=(size[1]) alt="";
            figcaption { (caption) }
        }
    }
}
